"""What is wrong with a comparison is said before anything is indexed or trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plait.errors import PlaitError
from plait.evaluation.eval_set import Question
from plait.flows.compare import checks
from plait.jobs.compare.arms import arms_of
from plait.recipes import CompareRecipe, load_recipe

Check = Callable[..., list[Question]]


def write(file: Path, *rows: dict[str, Any]) -> str:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Checks a recipe that is right but for its overrides; files are below the present folder."""
    monkeypatch.chdir(tmp_path)
    asked = {"question": "Which port?", "answers": ["8000"]}
    write(tmp_path / "eval.jsonl", {**asked, "kind": "learned"}, {**asked, "kind": "changed"})
    write(tmp_path / "train.jsonl", {"question": "Which port?", "answer": "8000."})
    for folder, port in (("docs", 8000), ("changed", 8001)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "gateway.md").write_text(f"The port of the gateway is {port}.")
    config = {"model_type": "llama", "max_position_embeddings": 512}
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/config.json").write_text(json.dumps(config))
    recipe = {
        "name": "support",
        "data": "eval.jsonl",
        "model": str(tmp_path / "tiny"),
        "ingest": {"sources": ["docs"], "collection": "support"},
        "tuned": {"lora": {"data": {"train": "train.jsonl", "max_tokens": 64}}},
        "changed": {"documents": "changed", "train": "train.jsonl"},
    }
    file = tmp_path / "compare.json"
    file.write_text(json.dumps(recipe))

    def checked(*overrides: str, url: str | None = None) -> list[Question]:
        loaded = load_recipe(CompareRecipe, file, list(overrides))
        return checks.checked(loaded, arms_of(loaded), url)

    return checked


def test_the_questions_are_counted_by_kind(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(check()) == 2
    assert "2 questions: 1 'learned', 1 'changed'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["changed=null"], "does not say what changed"),
        (["limit=1"], "among its first 1 is of the kind 'changed'"),
        (["judge=lexicle"], "no judge 'lexicle'"),
        (["judge={model: m, api_key_env: NOT_SET_HERE}"], "NOT_SET_HERE"),
        (["accuracy=exact"], "Did you mean 'exact_match'"),
        (["accuracy=retrieval_recall"], "accuracy=retrieval_recall needs passages"),
        (["metrics=[counterfactual_citations]"], "asks the model again"),
        (["prices.lore={prompt: 1, completion: 1}"], "price of 'lore'"),
        (["serve={retreival: {top_k: 2}}"], "Did you mean 'retrieval'"),
        (["changed.train=none.jsonl"], "no file or folder 'none.jsonl'"),
        (["changed.train=eval.jsonl"], "eval.jsonl:1 is no example"),
        (["tuned.lora.data.train=eval.jsonl"], r"eval.jsonl:1 is no example.*tuned.lora.data.train"),
        (["tuned.lora.data.eval=none.jsonl"], "no file or folder 'none.jsonl'"),
        (["ingest.sources=[none]"], "no file or folder 'none'"),
        (["changed.documents=docs"], "are as they were"),
        (["model=/none"], "no model folder '/none'"),
        (["tuned.lora.data.max_tokens=4096"], "tiny can read 512"),
    ],
)
def test_what_is_missing_or_another_thing_is_named(check: Check, overrides: list[str], said: str) -> None:
    with pytest.raises(PlaitError, match=said) as raised:
        check(*overrides)
    assert raised.value.exit_code == 2


def test_a_kind_in_another_spelling_is_not_one_of_its_own(check: Check, tmp_path: Path) -> None:
    row = {"question": "Which port?", "answers": ["8000"]}
    write(tmp_path / "near.jsonl", {**row, "kind": "Held-out "}, {**row, "kind": "changed"})
    with pytest.raises(PlaitError, match="Write 'held_out'"):
        check("data=near.jsonl")
    write(tmp_path / "misspelt.jsonl", {**row, "kind": "chnaged"})
    with pytest.raises(PlaitError, match="Is 'chnaged' misspelt"):
        check("data=misspelt.jsonl")


def test_documents_under_other_names_take_the_place_of_none(check: Check, tmp_path: Path) -> None:
    (tmp_path / "changed/gateway.md").rename(tmp_path / "changed/gate.md")
    with pytest.raises(PlaitError, match=r"name of one that it takes the place of, as 'gate.md'.*as 'gateway.md'"):
        check()
    (tmp_path / "changed/gateway.md").write_text("The port of the gateway is 8002.")
    check()  # what is new lies beside what changed
    with pytest.raises(PlaitError, match=r"'gate\.md' of 'changed' is new, and stays in the index"):
        check("ingest.sync=false")


def test_an_application_without_retrieval_cannot_serve_half_of_the_arms(check: Check) -> None:
    with pytest.raises(PlaitError, match=r"serve\.retrieval is null"):
        check("serve={retrieval: null}")


def test_a_server_that_stands_anyway_has_its_own_args_and_no_whole_model(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    check("serve={retrieval: {top_k: 2}}", url="http://host")
    assert "do not reach it" in capsys.readouterr().out
    whole = ["tuned.lora.adapter={method: full}", "tuned.lora.model.dtype=float32", "changed.train=null"]
    with pytest.raises(PlaitError, match="a model of its own"):
        check(*whole, url="http://host")
