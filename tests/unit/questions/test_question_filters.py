"""What drops questions: repeats, several answers, a search that does not find them, and what a model wrote badly."""

import pytest
from judging_models import WordEmbedding
from made_corpora import PACKAGES, corpus_of

from plait.questions import checks
from plait.questions.checks import checked
from plait.questions.drops import Drops, Filtered
from plait.questions.duplicates import unlike, without_repeats
from plait.questions.fact import AskedFact, Fact
from plait.questions.phrasings import Phrasings
from plait.questions.places import around
from plait.questions.search import PassageSearch, is_found
from plait.questions.structured import structured_facts
from plait.questions.writer import WrittenFact

CORPUS = corpus_of(PACKAGES)


def asked(question: str, value: str, number: int = 0) -> AskedFact:
    passage = CORPUS.passages[number]
    return AskedFact(Fact("it", "", value, passage, 0, 1), question)


def test_a_repeated_question_is_kept_once_and_counted() -> None:
    drops = Drops()
    first = asked("Which port does the hub listen on?", "80")
    again = asked("On which port does the hub listen?", "80", 1)
    other = asked("Which port does the node listen on?", "80")
    assert without_repeats([first, again, other], drops) == [first, other]
    assert drops.filters[0] == Filtered("repeats a question", 3, 1)
    assert drops.filters[0].rate == pytest.approx(1 / 3)


def test_a_question_with_two_answers_is_asked_of_neither() -> None:
    drops = Drops()
    pair = [asked("Which port has the hub?", "80"), asked("Which port has the hub?", "81", 1)]
    assert without_repeats([*pair, asked("Who made it all?", "ACME")], drops) == [asked("Who made it all?", "ACME")]
    assert drops.filters[1] == Filtered("has several answers", 3, 2)


def test_wordings_are_told_apart_by_their_words() -> None:
    assert unlike(["What is it?", "what is it", "Tell me.", "..."], ["tell me"]) == ["What is it?"]


def test_a_filter_that_is_used_twice_is_counted_together() -> None:
    drops = Drops()
    assert drops.kept("odd", [1, 2, 3], lambda number: number % 2 == 1) == [1, 3]
    assert drops.kept("odd", [4], [False]) == []
    assert drops.filters == [Filtered("odd", 4, 2)]


def test_a_search_by_words_finds_the_passage_of_a_question_and_no_other_first() -> None:
    search = PassageSearch(CORPUS.passages, None)
    questions = Phrasings({}).phrase(structured_facts(CORPUS)[0], 1, seed=0)
    found = search.find([each.question for each in questions], 1)
    assert all(is_found(each.fact, passages) for each, passages in zip(questions, found, strict=True))
    assert not is_found(questions[0].fact, found[-1])
    assert search.find(["zebra"], 3) == [[]]


def test_what_is_found_by_meaning_alone_counts() -> None:
    corpus = corpus_of({"a.md": "aaa bbb", "b.md": "ccc ddd"})
    # Two texts whose words have the same places in the embedding, and none in common.
    search = PassageSearch(corpus.passages, WordEmbedding)
    by_words = PassageSearch(corpus.passages, None)
    question = next(word for number in range(100_000) if _same_place(word := f"w{number}", "aaa"))
    assert [passage.source for passage in search.find([question], 1)[0]] == ["a.md"]
    assert by_words.find([question], 1) == [[]]
    fact = Fact("it", "", "bbb", corpus.passages[0], 4, 7)
    assert search.are_found([fact, fact], [question, "ccc"], 1) == [True, False]
    assert by_words.are_found([fact], [question], 1) == [False]


def test_no_model_is_loaded_where_words_find_everything() -> None:
    def load() -> WordEmbedding:
        raise AssertionError

    facts = structured_facts(CORPUS)[0]
    assert all(PassageSearch(CORPUS.passages, load).are_found(facts, [fact.value for fact in facts], 6))


def _same_place(word: str, other: str) -> bool:
    vectors = WordEmbedding().encode_queries([word, other])
    return bool((vectors[0] == vectors[1]).all())


def test_words_of_scripts_without_blanks_are_searched() -> None:
    corpus = corpus_of({"a.md": "東京は日本の首都です。", "b.md": "京都は古い都市です。"})
    assert PassageSearch(corpus.passages, None).find(["日本の首都はどこですか"], 1)[0][0].source == "a.md"


@pytest.mark.parametrize(
    ("question", "answer", "check"),
    [
        ("Which licence has ray?", "MIT", checks.NOT_VERBATIM),
        ("Which licence has ray?", "", checks.NOT_VERBATIM),
        ("Which licence has ray?", "...", checks.NOT_VERBATIM),
        ("Which version has ray?", "2.60", checks.NOT_VERBATIM),
        ("Is the licence of ray Apache-2.0?", "Apache-2.0", checks.GIVEN_AWAY),
        ("What is it?", "Apache-2.0", checks.NO_QUESTION),
        ("Which licence is it distributed under?", "Apache-2.0", checks.NO_QUESTION),
        ("Which licence is named in the passage?", "Apache-2.0", checks.NO_QUESTION),
        ("According to the text, which licence does ray have?", "Apache-2.0", checks.NO_QUESTION),
    ],
)
def test_a_bad_fact_fails_the_check_that_is_named(question: str, answer: str, check: str) -> None:
    assert checked(WrittenFact(CORPUS.passages[0], "ray", question, answer)) == check


def test_marks_within_an_answer_stay_in_pairs() -> None:
    corpus = corpus_of({"a.md": "In errors, `param` names the field `limit`.\n"})
    for answer, value in (("`param` names the field", "`param` names the field"), ("`limit`", "limit")):
        found = checked(WrittenFact(corpus.passages[0], "errors", "What do errors say?", answer))
        assert isinstance(found, AskedFact)
        assert found.fact.value == value


def test_a_writers_sentence_takes_another_value_at_each_place() -> None:
    assert around("80", "Port 80 (8080 before) is 80.") == ("Port ", " (8080 before) is ", ".")
    assert around("New York", "It is new\nyork") == ("It is ", "")
    assert around("80", "None.") == ("None.",)


def test_a_long_answer_is_dropped() -> None:
    corpus = corpus_of({"a.md": "one " * 20})
    assert checked(WrittenFact(corpus.passages[0], "it", "How many ones are there?", "one " * 13)) == checks.TOO_LONG


def test_an_answer_is_taken_as_the_passage_writes_it_with_its_span() -> None:
    corpus = corpus_of({"a.md": "# Ray\n\nMade by the Ray\nTeam in Berkeley.\n"}, is_cut=True)
    found = checked(WrittenFact(corpus.passages[1], "Ray", "Who made the framework Ray?", '"ray team".'))
    assert isinstance(found, AskedFact)
    assert found.fact.value == "Ray Team"
    assert corpus.documents["a.md"].text[found.fact.start : found.fact.end] == "Ray\nTeam"
