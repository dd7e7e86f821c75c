"""Cases are true or false by construction, the same for a seed, and what cannot be made is said."""

import random
from dataclasses import replace

import pytest

from plait.errors import DataError
from plait.evaluation.answers import is_correct
from plait.evaluation.calibration.cases import Ability, Case, CaseKind, claim, denial, make_cases
from plait.evaluation.calibration.material import Material, find_material
from plait.evaluation.calibration.swaps import form, swapped
from plait.evaluation.sample import Sample, SamplePassage

FACTS = {
    "ray": ("2.60.0", "Installed version of ray: 2.60.0"),
    "attrs": ("26.1.0", "Installed version of attrs: 26.1.0"),
    "numpy": ("2.4.6", "Installed version of numpy: 2.4.6"),
    "torch": ("2.13.0", "Installed version of torch: 2.13.0"),
}


def sample(name: str, **fields: object) -> Sample:
    answer, passage = FACTS[name]
    given = {
        "question": f"Which version of {name} is installed?",
        "reply": "",
        "answers": (answer,),
        "sources": (f"{name}.md",),
        "reference_passages": (SamplePassage(passage, f"{name}.md"),),
        **fields,
    }
    return Sample(**given)  # type: ignore[arg-type]


def material() -> list[Material]:
    found, missing = find_material([sample(name) for name in FACTS])
    assert not missing
    return found


def of(cases: list[Case], ability: Ability, kind: CaseKind) -> list[Case]:
    return [case for case in cases if case.ability is ability and case.kind is kind]


def test_every_kind_is_made_of_every_question() -> None:
    made = make_cases(material())
    cases = list(made.cases)
    assert (made.questions, made.missing) == (4, ())
    for kind in CaseKind:
        assert len(of(cases, Ability.SUPPORT, kind)) == 4, kind
    assert {case.ability for case in cases} == set(Ability)


def test_claims_are_what_their_kind_says() -> None:
    cases = list(make_cases(material()).cases)
    for case in of(cases, Ability.SUPPORT, CaseKind.RIGHT):
        assert case.truths == (True,)
        assert any(is_correct(passage, case.texts[0].split('"')[3]) for passage in case.passages)
    for case in of(cases, Ability.SUPPORT, CaseKind.SWAPPED):
        wrong = case.texts[0].split('"')[3]
        assert case.truths == (False,)
        assert wrong in {answer for answer, _ in FACTS.values()}
        own = next(passage for passage in case.passages if case.question.split()[3] in passage)
        assert not is_correct(own, wrong)
    orders = set()
    for kind in (CaseKind.REPLY_ORDERS, CaseKind.PASSAGE_ORDERS):
        for case, plain in zip(
            of(cases, Ability.SUPPORT, kind), of(cases, Ability.SUPPORT, CaseKind.SWAPPED), strict=True
        ):
            assert case.truths == (False,)
            mine, theirs = (
                (case.texts, plain.texts) if kind is CaseKind.REPLY_ORDERS else (case.passages, plain.passages)
            )
            assert all(text.startswith(without) for text, without in zip(mine, theirs, strict=True))
            orders |= {text.removeprefix(without).strip() for text, without in zip(mine, theirs, strict=True)}
    assert "" not in orders
    for case in of(cases, Ability.SUPPORT, CaseKind.ELSEWHERE):
        assert case.truths == (False,)
        assert not any(is_correct(passage, case.texts[0].split('"')[3]) for passage in case.passages)
    for case in of(cases, Ability.SUPPORT, CaseKind.HALF):
        assert sorted(case.truths) == [False, True]
    for case in of(cases, Ability.USEFUL, CaseKind.RIGHT):
        assert [is_correct(passage, case.answers[0]) for passage in case.texts] == list(case.truths)


def test_a_seed_makes_the_same_cases_and_another_one_others() -> None:
    assert make_cases(material(), 3) == make_cases(material(), 3)
    assert make_cases(material(), 3) != make_cases(material(), 4)


def test_an_unanswerable_question_is_to_be_declined() -> None:
    made, _ = find_material([*(sample(name) for name in FACTS), Sample("Who wrote it?", "", unanswerable=True)])
    cases = [case for case in make_cases(made).cases if case.question == "Who wrote it?"]
    assert {(case.ability, case.truths) for case in cases} == {
        (Ability.SUPPORT, (False,)),
        (Ability.DECLINES, (True,)),
        (Ability.ANSWERS, (False,)),
    }


def test_what_cannot_be_made_is_said() -> None:
    made, missing = find_material(
        [
            sample("ray", answers=()),
            sample("attrs", reference_passages=(SamplePassage("attrs is a package", "attrs.md"),)),
            sample("numpy"),
        ]
    )
    assert [each.reason for each in missing] == ["The question has no answer.", "No passage holds an answer of it."]
    with pytest.raises(DataError, match="The question has no answer"):
        make_cases(made, missing=missing)
    alone = [*made, Material(9, "Why?", ("because",), "because", "other.md", "other")]
    assert {each.what for each in make_cases(alone).missing} == {
        CaseKind.SWAPPED,  # of a number there is no other
        CaseKind.HALF,
        CaseKind.REPLY_ORDERS,
        CaseKind.PASSAGE_ORDERS,
        CaseKind.UNANSWERABLE,  # an answer of a third document would be invented
    }


def test_a_document_is_looked_up_where_a_sample_has_no_passage() -> None:
    asked = []

    def find(source: str) -> list[str]:
        asked.append(source)
        return ["# ray", FACTS["ray"][1]]

    made, _ = find_material([sample("ray", reference_passages=())], find)
    assert made[0].passage == FACTS["ray"][1]
    assert asked == ["ray.md"]


def test_the_same_question_of_two_arms_is_one() -> None:
    assert len(find_material([sample("ray"), sample("ray", reply="other")])[0]) == 1


@pytest.mark.parametrize(
    ("answer", "claimed", "denied"),
    [
        ("MIT", 'The answer to "Q?" is "MIT".', 'The answer to "Q?" is not "MIT".'),
        ("Yes.", 'The answer to "Q?" is "Yes".', 'The answer to "Q?" is "No".'),
        (
            "The office closes at six in winter",
            "The office closes at six in winter.",
            "It is not true that the office closes at six in winter.",
        ),
    ],
)
def test_an_answer_is_stated_and_denied(answer: str, claimed: str, denied: str) -> None:
    assert claim("Q?", answer) == claimed
    assert denial("Q?", answer) == denied


def test_the_number_of_a_sentence_is_swapped_for_one_of_another_document() -> None:
    mine = Material(
        0,
        "When does it close?",
        ("It closes at 18:30 from March on every day.",),
        "It closes at 18:30 from March on every day.",
        "a",
        "a",
    )
    other = Material(
        1, "When does it open?", ("It opens at 07:15 on every day.",), "It opens at 07:15 on every day.", "b", "b"
    )
    assert swapped(mine, [other], random.Random(0)) == "It closes at 07:15 from March on every day."
    same = Material(1, "When?", other.answers, other.passage, "a", "a")
    assert swapped(mine, [same], random.Random(0)) is None


def test_nothing_that_is_right_is_taken_for_wrong() -> None:
    mine = Material(0, "Which licence?", ("MIT", "MIT License"), "Licence: MIT. Formerly: BSD-3-Clause.", "a", "a")
    others = [
        Material(1, "Which licence?", ("MIT License",), "MIT License", "b", "b"),
        Material(2, "Which licence?", ("BSD-3-Clause",), "BSD-3-Clause", "c", "c"),
        Material(3, "Which licence?", ("Apache-2.0",), "Apache-2.0", "d", "d"),
    ]
    assert swapped(mine, others, random.Random(0)) is None  # Apache-2.0 has a digit, and MIT has none
    of_a_kind = [replace(each, kind="licence") for each in (mine, *others)]
    assert swapped(of_a_kind[0], of_a_kind[1:], random.Random(0)) == "Apache-2.0"
    assert form("Apache-2.0") == "A-9.9"


def test_a_name_is_swapped_for_a_name() -> None:
    mine = Material(0, "Who leads it?", ("Ada Lovelace",), "Ada Lovelace leads it.", "a", "a")
    others = [
        Material(1, "How many?", ("42",), "42", "b", "b"),
        Material(2, "Who wrote it?", ("Alan Turing",), "Alan Turing wrote it.", "c", "c"),
    ]
    assert swapped(mine, others, random.Random(0)) == "Alan Turing"
