"""The cross-encoder as a judge: how passages are cut, and what a real one of random weights gives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plait.errors import ModelNotFound
from plait.evaluation.judges.nli import EntailmentJudge
from plait.models.entailment import Entailment, EntailmentModel


class Recorded:
    """Entails nothing but the word `true`, contradicts `false`, and keeps what it was given."""

    name, max_tokens = "recorded", 12

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def entailments(self, pairs: Sequence[tuple[str, str]]) -> list[Entailment]:
        self.pairs += pairs
        return [Entailment(0.9 * ("true" in premise), 0.8 * ("false" in premise)) for premise, _ in pairs]


async def test_a_passage_is_read_in_windows_of_whole_sentences_that_fit_beside_the_claim() -> None:
    model: Any = Recorded()
    passage = "One two three. Four five six. Seven eight nine true. Ten. " + "Long " * 20 + "end."
    (verdict,) = (await EntailmentJudge(model).support(["a b c d"], ["", passage])).verdicts
    assert (verdict.holds, verdict.passage) == (True, 1)
    windows = [premise.split() for premise, _ in model.pairs]
    assert [len(window) for window in windows] == [6, 5, 21]
    assert " ".join(word for window in windows for word in window) == " ".join(passage.split())


async def test_what_is_entailed_nowhere_and_contradicted_somewhere_is_contradicted() -> None:
    model: Any = Recorded()
    found = await EntailmentJudge(model).support(["a claim"], ["Nothing.", "This is false.", "Nothing."])
    verdict = found.verdicts[0]
    assert (verdict.holds, verdict.passage, verdict.is_contradicted) == (False, 1, True)
    found = await EntailmentJudge(model).support(["a claim"], ["This is false.", "This is true."])
    assert found.verdicts[0].holds is True


@pytest.fixture(scope="module")
def make_encoder(tiny_embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def make(labels: dict[int, str]) -> Path:
        import torch
        from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

        folder = tmp_path_factory.mktemp("nli")
        body = str(tiny_embedder.parent / "bert")
        AutoTokenizer.from_pretrained(body).save_pretrained(folder)
        torch.manual_seed(0)
        config = BertConfig.from_pretrained(body, num_labels=len(labels), id2label=labels)
        BertForSequenceClassification(config).save_pretrained(folder)
        return folder

    return make


async def test_a_real_cross_encoder_gives_probabilities_by_the_names_of_its_labels(make_encoder: Any) -> None:
    model = EntailmentModel(str(make_encoder({0: "CONTRADICTION", 1: "entailment", 2: "neutral"})))
    pairs = [("A premise.", "A hypothesis."), ("Another.", "A hypothesis.")]
    found = model.entailments(pairs)
    assert all(0 < each.entails < 1 and 0 < each.contradicts < 1 - each.entails for each in found)
    assert model.entailments(list(reversed(pairs)))[1].entails == pytest.approx(found[0].entails, abs=1e-5)
    assert model.entailments([]) == []
    judge = EntailmentJudge(model)
    said = await judge.support(["A claim.", "Another claim."], ["A passage. " * 300])
    assert [type(verdict.holds) for verdict in said.verdicts] == [bool, bool]
    two = EntailmentModel(str(make_encoder({0: "entailment", 1: "not_entailment"})))
    assert two.entailments(pairs)[0].contradicts == 0


async def test_a_cross_encoder_that_tells_no_entailment_is_refused(make_encoder: Any) -> None:
    with pytest.raises(ModelNotFound, match=r"tells no entailment: its labels are label_0, label_1\."):
        EntailmentModel(str(make_encoder({0: "LABEL_0", 1: "LABEL_1"})))
