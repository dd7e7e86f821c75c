"""Words in common, and where they alone would mislead."""

import pytest

from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.judges.replies import as_statement, is_refusal, without_citations
from plait.evaluation.sentences import sentences

PASSAGE = "Ray was released in 2017. The installed version of Ray Serve is 2.60.0. It does not need Milvus."


@pytest.mark.parametrize(
    ("claim", "holds", "is_contradicted"),
    [
        ("The installed version of Ray Serve is 2.60.0.", True, False),
        ("Ray Serve has version 2.60.0 installed.", True, False),
        ("The installed version of Ray Serve is 2.61.0.", False, True),  # another number
        ("The installed version of Ray Train is 2.60.0.", False, False),  # another name
        ("It needs Milvus.", False, True),  # negated
        ("Ray does not need Milvus.", True, False),
        ("It's not true that the installed version of Ray Serve is 2.60.0.", False, True),
        ("Bananas grow on trees in 2017.", False, False),
        ("", False, False),
        ("The of and.", False, False),
        (">= <", False, False),
    ],
)
async def test_numbers_names_and_negations_must_be_the_passages(claim: str, holds: bool, is_contradicted: bool) -> None:
    (verdict,) = (await LexicalJudge().support([claim], ["Something else.", PASSAGE])).verdicts
    assert (verdict.holds, verdict.is_contradicted) == (holds, is_contradicted), verdict.reason


async def test_signs_without_a_sentence_are_compared_as_signs() -> None:
    assert [each.holds for each in (await LexicalJudge().support([">=", "<"], [">="])).verdicts] == [True, False]


async def test_words_of_two_passages_do_not_add_up() -> None:
    passages = ["The installed version of Ray is old.", "2.60.0 is new."]
    (verdict,) = (await LexicalJudge().support(["The installed version of Ray is 2.60.0."], passages)).verdicts
    assert verdict.holds is False


async def test_a_passage_is_useful_only_with_the_answer_and_a_word_of_the_question() -> None:
    passages = [PASSAGE, "The price is 2.60.0 coins.", "The installed version of Ray is unknown."]
    found = await LexicalJudge().useful("Which version of Ray Serve is installed?", ["2.60.0"], passages)
    assert [verdict.holds for verdict in found.verdicts] == [True, False, False]


async def test_whether_a_short_reply_answers_cannot_be_said() -> None:
    (verdict,) = (await LexicalJudge().answers_the_question("Which version of Ray?", "2.60.0")).verdicts
    assert verdict.holds is None
    assert "too short" in verdict.reason


@pytest.mark.parametrize(
    "text",
    [
        "I don't know.",
        "I don’t know the answer to this.",
        "I do not have enough information.",
        "The passages do not mention this.",
        "The provided documents don't contain the price.",
        "This is not mentioned in the passages.",
        "I cannot answer the question from these passages.",
        "I'm sorry, but I can't help.",
        "I am not sure.",
        "There is not enough information to answer.",
        "It cannot be determined from the text.",
        "Unknown.",
        "N/A",
    ],
)
def test_usual_refusals_are_recognised(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "The library does not need a key.",
        "Ray does not contain a database.",
        "It cannot be used on Windows.",
        "You do not know it yet, but it is 2.60.0.",
        "The function returns an unknown value.",
        "No.",
    ],
)
def test_statements_that_negate_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_only_a_bare_name_or_number_is_made_a_statement() -> None:
    assert as_statement("Which?", " 2.60.0 [1] ") == 'The answer to "Which?" is "2.60.0".'
    assert as_statement("Which?", "The version of Ray is 2.60.0.") is None
    assert as_statement("Which?", "I don't know.") is None
    assert as_statement("Which?", " ") is None


def test_marks_that_cite_are_left_out_and_other_brackets_stay() -> None:
    assert without_citations("It is 2 [1][2, 3]. See 【4†source】.") == "It is 2. See."
    assert without_citations("a[i] = [x]") == "a[i] = [x]"


def test_sentences_stand_where_they_say() -> None:
    text = "  It is 2.60.0. [1]\n\nDr. Wu said so!   \n- Is it new?\n"
    found = sentences(text)
    assert [sentence.text for sentence in found] == ["It is 2.60.0. [1]", "Dr. Wu said so!", "- Is it new?"]
    assert all(text[sentence.start : sentence.end] == sentence.text for sentence in found)
    assert sentences("") == sentences(" … ") == []
