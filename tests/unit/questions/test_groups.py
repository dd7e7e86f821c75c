"""Groups, changes, questions over two documents, and questions without an answer."""

from dataclasses import replace

from made_corpora import PACKAGES, corpus_of

from plait.questions.changes import Change, Swaps, can_change, edited, edited_passage
from plait.questions.fact import AskedFact, Group
from plait.questions.groups import assign, by_turns, targets, with_form
from plait.questions.hops import chained, in_common
from plait.questions.phrasings import Phrasings
from plait.questions.structured import structured_facts
from plait.questions.unanswerable import is_unanswered, unanswerable_questions
from plait.recipes import GroupShares

CORPUS = corpus_of(PACKAGES)
FACTS = structured_facts(CORPUS)[0]
ASKED = Phrasings({}).phrase(FACTS, 4, seed=0)


def of(entity: str, attribute: str) -> AskedFact:
    return next(each for each in ASKED if (each.fact.entity, each.fact.attribute) == (entity, attribute))


def test_targets_add_up_to_the_count() -> None:
    shares = GroupShares(learned=1, held_out=1, changed=1, unanswerable=0, multi_hop=0, form=0)
    found = targets(100, shares)
    assert sum(found.values()) == 100
    assert sorted(found.values()) == [0, 0, 0, 33, 33, 34]


def test_every_fact_is_of_one_group_and_the_shares_hold() -> None:
    shares = GroupShares(learned=2, held_out=1, changed=1, form=0)
    found = assign(ASKED, CORPUS, Swaps(ASKED, 0), 4, shares, seed=0)
    changed = [each for each, _ in found.changed]
    everything = [*found.learned, *found.held_out, *changed]
    assert sorted(each.fact.fact_id for each in everything) == sorted(each.fact.fact_id for each in ASKED)
    assert len(changed) == 4
    assert len(found.learned) == round((len(ASKED) - 4) * 2 / 3)
    assert assign(ASKED, CORPUS, Swaps(ASKED, 0), 4, shares, seed=0) == found
    assert assign(ASKED, CORPUS, Swaps(ASKED, 1), 4, shares, seed=1) != found


def test_what_a_document_says_twice_is_of_one_group() -> None:
    corpus = corpus_of(
        {f"{n}.md": f"# Hub {n}\n\nPort: 8{n}\n\nThe number of sockets is 8{n}.\n" for n in range(10, 30)}
    )
    asked = Phrasings({}).phrase(structured_facts(corpus)[0], 4, seed=0)
    assert len(asked) == 40
    found = assign(asked, corpus, Swaps(asked, 0), 0, GroupShares(), seed=0)
    assert not {each.fact.source for each in found.learned} & {each.fact.source for each in found.held_out}


def test_what_has_no_other_wording_is_held_out() -> None:
    bare = [replace(each, training=()) for each in ASKED]
    found = assign(bare, CORPUS, Swaps(bare, 0), 4, GroupShares(), seed=0)
    assert (found.learned, found.changed, len(found.held_out)) == ((), (), len(bare))


def test_so_many_facts_are_taught_and_the_others_held_out() -> None:
    found = assign(ASKED, CORPUS, Swaps(ASKED, 0), 4, GroupShares(learned=3, changed=1), seed=0, taught=8)
    assert (len(found.learned), len(found.changed)) == (6, 2)
    assert len(found.held_out) == len(ASKED) - 8


def test_only_forms_that_are_taught_are_asked_for() -> None:
    bare = [replace(each, training=()) if each.fact.attribute == "Author" else each for each in ASKED]
    found = assign(bare, CORPUS, Swaps(bare, 0), 0, GroupShares(), seed=0)
    fitting = with_form(found)
    assert {each.fact.attribute for each in fitting} == {"Installed version", "Licence"}
    assert {each.fact.attribute for each in found.held_out} > {each.fact.attribute for each in fitting}


def test_turns_show_every_key_first() -> None:
    assert by_turns(["a1", "a2", "b1", "c1", "c2"], lambda text: text[0]) == ["a1", "b1", "c1", "a2", "c2"]


def test_a_changed_fact_has_a_value_of_its_form_and_stands_in_the_copy_alone() -> None:
    fact = of("rich", "Installed version").fact
    value = Swaps(ASKED, 0).swap(fact)
    assert value in {each.fact.value for each in ASKED if each.fact.attribute == "Installed version"} - {"15.1.0"}
    change = Change(fact, str(value))
    texts = edited(CORPUS, [change])
    assert texts == {"rich.md": PACKAGES["rich.md"].replace("15.1.0", str(value))}
    passage = edited_passage(of("rich", "Licence").fact, {"rich.md": [change]})
    assert "15.1.0" not in passage
    assert str(value) in passage


def test_several_changes_of_a_document_keep_their_places() -> None:
    changes = [
        Change(of("rich", name).fact, value) for name, value in (("Installed version", "1"), ("Author", "A. B."))
    ]
    (text,) = edited(CORPUS, changes).values()
    assert text == "# rich\n\n- Installed version of rich: 1\n- Author: A. B.\n- Licence of rich: MIT\n"


def test_a_value_that_stands_twice_or_in_no_plain_text_is_not_changed() -> None:
    text = {"a.md": "# Hub\n\nPort: 80\n\nNever open 80 to others.\n", "b.md": "# Node\n\nPort: 8080\n"}
    corpus = corpus_of(text)
    twice, once = structured_facts(corpus)[0]
    assert (can_change(twice, corpus), can_change(once, corpus)) == (False, True)
    assert not can_change(once, type(corpus)(corpus.documents, corpus.passages))
    told = corpus_of({**text, "c.md": "The port of the node is 8080, as everybody knows.\n"})
    assert not can_change(once, told)


def test_facts_of_one_document_are_swapped_among_its_passages() -> None:
    corpus = corpus_of({"a.md": "# Hub\n\nInput port: 80\n\nOutput port: 81\n"}, is_cut=True)
    asked = Phrasings({}).phrase(structured_facts(corpus)[0], 1, seed=0)
    assert [Swaps(asked, 0).swap(each.fact) for each in asked] == ["81", "80"]


def test_distractors_are_different_wrong_values() -> None:
    found = Swaps(ASKED, 0).distractors(of("ray", "Licence").fact)
    assert 1 <= len(found) == len(set(found)) <= 3
    assert "Apache-2.0" not in found


def test_what_exactly_two_documents_have_in_common_takes_both() -> None:
    usable = {fact.fact_id for fact in FACTS}
    found = in_common(FACTS, usable)
    by_author = [each for each in found if each.first.attribute == "Author"]
    assert [(each.question, each.answer) for each in by_author] == [
        ("What else has the same author as rich?", "textual")
    ]
    assert {each.first.attribute for each in found} == {"Author", "Licence"}
    assert not [
        each for each in in_common(FACTS, usable, [("Author", "will mcgugan")]) if each.first.attribute == "Author"
    ]
    assert in_common(FACTS, set()) == []


def test_values_that_differ_in_their_signs_alone_are_not_in_common() -> None:
    corpus = corpus_of({"cache.md": "# Cache\n\nLanguage: C\n", "proxy.md": "# Proxy\n\nLanguage: C++\n"})
    facts = structured_facts(corpus)[0]
    assert len(facts) == 2
    assert in_common(facts, {fact.fact_id for fact in facts}) == []


def test_a_value_that_another_document_is_about_makes_a_chain() -> None:
    corpus = corpus_of({"app.md": "# app\n\nDatabase: Milvus\n", "db.md": "# Milvus\n\nPort: 19530\n"})
    facts = structured_facts(corpus)[0]
    (hops,) = chained(facts, {facts[1].fact_id}, seed=0)
    assert chained(facts, {facts[0].fact_id}, seed=0) == []
    assert hops.answer == "19530"
    assert "the port of the database of app" in hops.question
    assert (hops.first.source, hops.second.source) == ("app.md", "db.md")


def test_a_chain_is_none_where_the_first_document_has_the_answer_or_two_are_meant() -> None:
    app = "# app\n\nDatabase: Milvus\n"
    known = corpus_of({"app.md": app + "\nMilvus listens on 19530.\n", "db.md": "# Milvus\n\nPort: 19530\n"})
    two = corpus_of({"app.md": app, "a.md": "# Milvus\n\nPort: 1\n", "b.md": "# Milvus\n\nPort: 2\n"})
    for corpus in (known, two):
        facts = structured_facts(corpus)[0]
        assert chained(facts, {fact.fact_id for fact in facts}, seed=0) == []


def test_what_others_have_and_one_lacks_is_asked_in_the_words_of_the_others() -> None:
    found = unanswerable_questions(FACTS, CORPUS, Phrasings({}), 9, seed=0)
    assert found[0].subject == "the licence of numpy"
    assert found[0].question in ("What is the licence of numpy?", "Say what the licence of numpy is.")
    assert len(found) == len(PACKAGES)
    assert all(is_unanswered(each, CORPUS.passages, CORPUS) for each in found)


def test_only_what_is_of_the_same_kind_lacks_an_attribute() -> None:
    texts = {f"{name}.md": f"# {name}\n\nColour: red\n" for name in ("rose", "tulip")}
    corpus = corpus_of(PACKAGES | texts)
    found = unanswerable_questions(structured_facts(corpus)[0], corpus, Phrasings({}), 99, seed=0)
    assert [each.subject for each in found if "licence" in each.subject] == ["the licence of numpy"]


def test_a_question_of_which_a_passage_has_all_words_is_not_unanswerable() -> None:
    found = unanswerable_questions(FACTS, CORPUS, Phrasings({}), 9, seed=0)[0]
    told = corpus_of({"a.md": "Nobody knows the licence of numpy, do you?"})
    assert not is_unanswered(found, told.passages, told)


def test_the_groups_are_those_that_a_comparison_asks_about() -> None:
    assert [group.value for group in Group] == ["learned", "held_out", "changed", "unanswerable", "multi_hop", "form"]
    assert set(GroupShares.model_fields) == {group.value for group in Group}
