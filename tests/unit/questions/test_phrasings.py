"""How facts are asked about by templates."""

import pytest
from made_corpora import PACKAGES, corpus_of

from plait.errors import RecipeError
from plait.evaluation.patterns import has_form
from plait.questions.phrasings import Phrasings, subject_of, verb_of
from plait.questions.structured import structured_facts
from plait.recipes import QuestionsRecipe, QuestionTemplates, load_recipe

FACTS = structured_facts(corpus_of({"ray.md": PACKAGES["ray.md"] + "\nRay is a framework.\n"}))[0]
VERSION = QuestionTemplates(
    evaluate=["Which version of {entity} is installed?"],
    train=["What version of {entity} do we have?", "{entity}: which version?"],
    reply="The version of {entity} is {value}.",
)

NAMED = QuestionTemplates(evaluate=["Licence?"], train=["And of {entity}?"], reply="Licence (of {entity}): {value}.")


def test_every_fact_has_a_question_and_four_others_that_teach_it() -> None:
    for asked in Phrasings({}).phrase(FACTS, 4, seed=0):
        assert len({asked.question, *asked.training}) == 5
        assert asked.fact.value in asked.reply
        assert not any(asked.fact.value in wording for wording in (asked.question, *asked.training))


def test_the_built_in_templates_read_as_english() -> None:
    asked = {each.fact.attribute: each for each in Phrasings({}).phrase(FACTS, 6, seed=0)}
    assert asked["Licence"].reply == "The licence of ray is Apache-2.0."
    assert "Tell me the licence of ray." in asked["Licence"].training
    assert asked[""].question == "What is Ray?"
    assert asked[""].reply == "Ray is a framework."


def test_own_templates_ask_about_their_attributes_alone() -> None:
    asked = Phrasings({"installed VERSION": VERSION}).phrase(FACTS, 4, seed=0)
    assert [each.question for each in asked] == ["Which version of ray is installed?"]
    assert set(asked[0].training) == {"What version of ray do we have?", "ray: which version?"}
    assert asked[0].reply == "The version of ray is 2.60.0."
    assert len(Phrasings({"*": VERSION}).phrase(FACTS, 4, seed=0)) == len(FACTS)


def test_a_reply_has_a_form_whatever_the_entity_and_the_value() -> None:
    for templates, form in (({}, r"The licence of .+ is .+\."), ({"Licence": NAMED}, r"Licence \(of .+\): .+\.")):
        asked = {each.fact.attribute: each for each in Phrasings(templates).phrase(FACTS, 4, seed=0)}
        assert asked["Licence"].form == form
        assert has_form(asked["Licence"].reply, form)
        assert has_form(asked["Licence"].reply_with("MIT (or so)"), form)
    assert Phrasings({}).phrase([each for each in FACTS if not each.attribute], 4, seed=0)[0].form is None


def test_what_has_no_training_wording_is_asked_all_the_same() -> None:
    only = QuestionTemplates(evaluate=["Who wrote {entity}?"])
    (asked,) = Phrasings({"Author": only}).phrase(FACTS, 4, seed=0)
    assert (asked.question, asked.training) == ("Who wrote ray?", ())


def test_the_seed_chooses_the_wording() -> None:
    first, again = (Phrasings({}).phrase(FACTS, 3, seed=0) for _ in range(2))
    assert first == again
    assert any(first != Phrasings({}).phrase(FACTS, 3, seed=seed) for seed in (1, 2, 3))


@pytest.mark.parametrize(
    ("attribute", "subject", "verb"),
    [
        ("IP address", "the IP address of ray", "is"),
        ("Packages that … requires", "the packages that ray requires", "are"),
        ("status of payment", "the status of payment of ray", "is"),
        ("the limits", "the limits of ray", "are"),
        ("", "ray", "is"),
    ],
)
def test_subjects_and_verbs(attribute: str, subject: str, verb: str) -> None:
    assert (subject_of(attribute, "ray"), verb_of(attribute)) == (subject, verb)


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("evaluate=['What is {name}?']", "{name}"),
        ("evaluate=['Is it {value}?']", "its answer"),
        ("reply='It is so.'", "needs {value}"),
        ("evaluate=['{entity']", "no template"),
        ("train=['What is it?']", "of the training data, too"),
    ],
)
def test_a_bad_template_is_said_in_one_sentence(field: str, what: str) -> None:
    fields = {"evaluate": "['What is it?']", "train": "['Tell me.']"}
    name, _, value = field.partition("=")
    fields[name] = value
    overrides = [f"templates.port.{each}={given}" for each, given in fields.items()]
    with pytest.raises(RecipeError, match=what.replace("{", r"\{")):
        load_recipe(QuestionsRecipe, None, ["ingest.sources=[docs]", *overrides])
