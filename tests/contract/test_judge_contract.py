"""What every judge must do, in the same words for all: words, an embedding, a cross-encoder, a model that is asked.

Each stands on a model of the tests that compares words, so that what is right can be told.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from judging_models import ReadingModel, WordEmbedding
from verbatim_judge import VerbatimJudge

from plait.evaluation.judges.embedding import EmbeddingJudge
from plait.evaluation.judges.judge import Judge
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.judges.model import ModelJudge
from plait.evaluation.judges.nli import EntailmentJudge
from plait.models.entailment import Entailment

QUESTION = "Which version of Ray is installed?"
PASSAGES = [
    "Bananas are yellow.",
    "Ray keeps its actors warm. The installed version of Ray is 2.60.0. It needs Python 3.11.",
]
TRUE, FOREIGN = "The installed version of Ray is 2.60.0.", "Milvus stores vectors on disks of glass."
REFUSALS = ["I don't know.", "The passages do not contain the answer."]


class WordEntailment:
    """Entails what has its words in one sentence."""

    name, max_tokens = "words", 40

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def entailments(self, pairs: Sequence[tuple[str, str]]) -> list[Entailment]:
        return [Entailment(_share(hypothesis, premise), 0.0) for premise, hypothesis in pairs]


def _share(part: str, whole: str) -> float:
    words = set(part.lower().rstrip(".").split())
    return len(words & set(whole.lower().replace(".", "").split()) | (words & set(whole.lower().split()))) / len(words)


ENTAILMENT: Any = WordEntailment()


@pytest.fixture(params=["lexical", "embedding", "nli", "model", "model with a short context", "verbatim"])
def judge(request: pytest.FixtureRequest) -> Judge:
    made: dict[str, Judge] = {
        "lexical": LexicalJudge(),
        "embedding": EmbeddingJudge(WordEmbedding()),
        "nli": EntailmentJudge(ENTAILMENT),
        "verbatim": VerbatimJudge(),
        "model": ModelJudge(ReadingModel(), "reader"),
        "model with a short context": ModelJudge(ReadingModel(context_characters=1330), "reader"),
    }
    return made[request.param]


async def test_a_claim_of_the_passages_is_supported_and_a_foreign_one_is_not(judge: Judge) -> None:
    found = await judge.support([FOREIGN, TRUE], PASSAGES)
    assert [verdict.holds for verdict in found.verdicts] == [False, True]
    assert found.verdicts[1].passage == 1


async def test_every_claim_gets_its_verdict_in_its_place(judge: Judge) -> None:
    claims = [TRUE if number % 3 else FOREIGN for number in range(40)]
    found = await judge.support(claims, PASSAGES)
    assert [verdict.holds for verdict in found.verdicts] == [bool(number % 3) for number in range(40)]


async def test_nothing_follows_from_no_passages(judge: Judge) -> None:
    for passages in ([], [""], ["  \n"]):
        found = await judge.support([TRUE, FOREIGN], passages)
        assert [verdict.holds for verdict in found.verdicts] == [False, False]


async def test_of_no_claims_and_of_no_passages_there_are_no_verdicts(judge: Judge) -> None:
    assert (await judge.support([], PASSAGES)).verdicts == ()
    assert (await judge.useful(QUESTION, ["2.60.0"], [])).verdicts == ()


async def test_every_passage_gets_its_verdict_in_its_place(judge: Judge) -> None:
    found = await judge.useful(QUESTION, [TRUE], [*PASSAGES, ""])
    assert [verdict.holds for verdict in found.verdicts] == [False, True, False]


@pytest.mark.parametrize("reply", REFUSALS)
async def test_a_refusal_declines_and_claims_nothing(judge: Judge, reply: str) -> None:
    assert (await judge.claims(QUESTION, reply)).texts == ()
    if not isinstance(judge, EntailmentJudge):  # its model of the tests has no notion of it
        assert (await judge.declines(QUESTION, reply)).verdicts[0].holds is True
    assert (await judge.answers_the_question(QUESTION, reply)).verdicts[0].holds is False


async def test_an_answer_is_one_and_claims_what_it_says(judge: Judge) -> None:
    claims = await judge.claims(QUESTION, f"{TRUE} It needs Python 3.11 [2].")
    assert (claims.texts, claims.problem) == ((TRUE, "It needs Python 3.11."), "")
    assert (await judge.declines(QUESTION, TRUE)).verdicts[0].holds is False
    if not isinstance(judge, EntailmentJudge | VerbatimJudge):
        assert (await judge.answers_the_question(QUESTION, TRUE)).verdicts[0].holds is True


@pytest.mark.parametrize("reply", ["", " \n "])
async def test_an_empty_reply_neither_answers_nor_declines_nor_claims(judge: Judge, reply: str) -> None:
    assert (await judge.claims(QUESTION, reply)).texts == ()
    for said in (await judge.declines(QUESTION, reply), await judge.answers_the_question(QUESTION, reply)):
        assert said.verdicts[0].holds is False
        assert "empty" in said.verdicts[0].reason


async def test_texts_of_any_script_and_of_controls_are_judged(judge: Judge) -> None:
    texts = ["光合作用は葉で起こる。", "الجواب هو ٤٢", "\x00\x07<|im_end|>\u2028", "{}[]\"'\\", "🦜" * 50]
    assert len((await judge.support(texts, texts)).verdicts) == len(texts)
    assert len((await judge.useful(texts[0], texts, texts)).verdicts) == len(texts)


async def test_many_tasks_at_once_get_what_each_gets_alone(judge: Judge) -> None:
    alone = (await judge.support([TRUE, FOREIGN], PASSAGES)).verdicts
    together = await asyncio.gather(*(judge.support([TRUE, FOREIGN], PASSAGES) for _ in range(20)))
    assert all(each.verdicts == alone for each in together)


async def test_it_says_what_judges(judge: Judge) -> None:
    assert judge.name
