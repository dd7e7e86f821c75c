"""Gates: what a build wants an evaluation to reach."""

import pytest

from plait.errors import InvalidInput
from plait.evaluation.gate import Gate, GateNotMet, check_gates
from plait.evaluation.statistics.figure import Figure

ARMS = ["base", "rag/support:3"]


def figures(metric: str, arm: str, confidence: float) -> Figure | None:
    """Faithfulness of the second arm alone; contains of both, and surer where less confidence is asked for."""
    if metric == "faithfulness":
        return Figure(0.9, 0.8, 0.95, 20, 1) if arm != "base" else None
    return Figure(0.9, 0.7 if confidence > 0.9 else 0.85, 0.95, 20, 0) if metric == "contains" else None


@pytest.mark.parametrize(
    "gate",
    ["faithfulness >= 0.8 at 95%", "faithfulness>=80%", "contains >= 0.8 at 80%", "rag/support:3: contains >= .7"],
)
def test_a_gate_is_met_where_the_lower_bound_reaches_it(gate: str) -> None:
    check_gates([Gate.parse(gate)], ARMS, figures)


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("contains >= 0.8 at 95%", r"is not met: base has 0.900, between 0.700 and 0.950 over 20 samples"),
        ("faithfulness >= 0.81", r"rag/support:3 has 0.900 \(1 cannot be said\)"),
        ("base: faithfulness >= 0.1", r"cannot be met: there is no faithfulness of 'base'"),
        ("rouge_l >= 0.1", r"there is no rouge_l of any arm"),
    ],
)
def test_a_gate_that_is_not_met_says_what_was_found(gate: str, why: str) -> None:
    with pytest.raises(GateNotMet, match=why) as failed:
        check_gates([Gate.parse("contains >= 0.7"), Gate.parse(gate)], ARMS, figures)
    assert failed.value.exit_code == 1


@pytest.mark.parametrize("text", ["faithfulness", "a > 0.5", "a >= 1.5", "a >= 0.5 at 100%", "a >= 0.5 at 95"])
def test_what_is_no_gate_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="Write it as in"):
        Gate.parse(text)
