"""Who is labelled is chance within strata, and a sheet comes back as labels."""

from collections import Counter
from pathlib import Path

import pytest

from plait.errors import Conflict, DataError, InvalidInput
from plait.evaluation.labels.choice import choose, stratum
from plait.evaluation.labels.kept import estimate, keep_labels, read_labels
from plait.evaluation.labels.sheet import LabelRow, read_sheet, write_sheet

SCORES: list[float | None] = [1.0] * 160 + [0.5] * 25 + [0.0] * 12 + [None] * 3


def test_small_strata_are_drawn_from_more_than_their_size_asks_for() -> None:
    chosen = choose(SCORES, 40)
    assert len(set(chosen)) == 40
    drawn = Counter(stratum(SCORES[place]) for place in chosen)
    assert drawn["unsaid"] == 3
    assert drawn["low"] >= 5
    assert drawn["high"] < 32  # what one rate for all would give
    assert drawn["high"] > drawn["middle"] > drawn["low"]


def test_within_a_stratum_all_are_as_likely() -> None:
    counts = Counter(place for seed in range(400) for place in choose(SCORES, 40, seed) if place < 160)
    expected = sum(counts.values()) / 160
    assert len(counts) == 160
    assert max(counts.values()) < 2 * expected


def test_the_same_seed_chooses_the_same_in_an_order_that_shows_no_stratum() -> None:
    assert choose(SCORES, 40, 1) == choose(SCORES, 40, 1) != choose(SCORES, 40, 2)
    assert choose(SCORES, 40) != sorted(choose(SCORES, 40))


def test_what_is_labelled_counts_and_is_not_asked_again() -> None:
    first = choose(SCORES, 30)
    more = choose(SCORES, 50, 1, frozenset(first))
    assert not set(first) & set(more)
    assert len(more) == 20


def test_few_samples_are_all_chosen() -> None:
    assert sorted(choose([0.2, None, 0.9], 30)) == [0, 1, 2]


ROW = LabelRow("a1", "Which; version?", '=HYPERLINK("x")\nsecond, line', "[1] text", "2.60.0")


def test_a_sheet_comes_back_with_its_labels(tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    write_sheet(file, "faithfulness", [ROW, LabelRow("a2", "q", "r", "", ""), LabelRow("a3", "q", "r", "", "")])
    text = file.read_text("utf-8-sig")
    assert "'=HYPERLINK" in text  # no formula
    assert read_sheet(file, "faithfulness") == {}
    head, first, second = text.partition("a2")[0], "a2,q,r,,,Yes\n", 'a3,q,r,,,"0,5"\n'
    file.write_text(head + first + second, "utf-8")
    assert read_sheet(file, "faithfulness") == {"a2": 1.0, "a3": 0.5}


@pytest.mark.parametrize("label", ["maybe", "1.2", "-1", "nan"])
def test_what_is_no_label_is_named_with_its_line(tmp_path: Path, label: str) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text(f"id,faithfulness\na1,1\na2,{label}\n")
    with pytest.raises(
        DataError, match=rf"sheet.csv:3 has the label '{label}'. Write yes, no or a number from 0 to 1."
    ):
        read_sheet(file, "faithfulness")


def test_a_sheet_of_another_metric_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text("id,correctness\na1,1\n")
    with pytest.raises(DataError, match="has no column 'faithfulness'"):
        read_sheet(file, "faithfulness")
    with pytest.raises(InvalidInput, match="is no sheet"):
        write_sheet(tmp_path / "sheet.txt", "m", [])


def test_labels_are_kept_beside_a_run(tmp_path: Path) -> None:
    assert read_labels(tmp_path) == {}
    keep_labels(tmp_path, "faithfulness", "lexical", {"a": 1.0, "b": 0.0})
    keep_labels(tmp_path, "faithfulness", "lexical", {"b": 0.5})
    keep_labels(tmp_path, "correctness", "embedding", {"a": 0.0})
    assert read_labels(tmp_path)["faithfulness"].labels == {"a": 1.0, "b": 0.5}
    with pytest.raises(Conflict, match="chosen by the scores of 'lexical', not of 'embedding'"):
        keep_labels(tmp_path, "faithfulness", "embedding", {"a": 1.0})


def test_thirty_labels_make_an_estimate() -> None:
    names = [str(place) for place in range(200)]
    chosen = choose(SCORES, 40)
    labels = {names[place]: 1.0 if place < 140 else 0.0 for place in chosen}
    found = estimate(names, SCORES, [""] * 200, labels)
    assert not isinstance(found, str)
    assert found.low < 0.7 < found.high
    assert found.labels == 40


def test_too_few_labels_make_none_and_the_sentence_says_how_many_are_needed() -> None:
    names = [str(place) for place in range(200)]
    assert estimate(names, SCORES, [], {"1": 1.0}) == "1 labels; an estimate takes 30"
    high = {str(place): 1.0 for place in range(40)}
    assert estimate(names, SCORES, [], high) == (
        "40 labels, none of them of samples that the judge scores low or middle or unsaid"
    )
