"""What a writer is asked: examples are turns of their own, and such as the filters keep."""

import json

import jsonschema
import pytest
from made_corpora import corpus_of

from plait.evaluation.judges.prompts import Inquiry
from plait.questions import prompts
from plait.questions.checks import checked, stands_alone
from plait.questions.fact import AskedFact
from plait.questions.writer import WrittenFact

FACTS = prompts.facts("Ray", "Setup", "Ray needs Python 3.10.", 2)


@pytest.mark.parametrize(
    "asked",
    [
        FACTS,
        prompts.wordings("Which Python does Ray need?", "Ray", "3.10", 2),
        prompts.answer_from("Which Python does Ray need?", ["Ray needs Python 3.10."]),
        prompts.unanswered("Ray", "Setup", "Ray needs Python 3.10."),
    ],
)
def test_an_example_is_a_turn_before_the_request_and_fits_its_schema(asked: Inquiry) -> None:
    instruction, *turns, request = asked.messages
    assert [message.role for message in turns] == ["user", "assistant"] * (len(turns) // 2)
    assert turns
    for message in turns[1::2]:
        jsonschema.validate(json.loads(message.content), asked.schema)
        assert message.content not in instruction.content
    assert json.loads(turns[0].content).keys() == json.loads(request.content).keys()


def test_facts_of_the_example_pass_the_checks_of_facts() -> None:
    shown, said = (json.loads(message.content) for message in FACTS.messages[1:3])
    passage = corpus_of({"a.md": shown["passage"]}).passages[0]
    for fact in said["facts"]:
        written = WrittenFact(passage, fact["entity"], fact["question"], fact["answer"])
        assert isinstance(checked(written), AskedFact)
        assert stands_alone(fact["question"])
