"""How long an arm takes is the median of its last answers, as far as they are recent and enough."""

from plait.serve.routing.arm_paces import ArmPaces


def test_an_arm_has_a_pace_after_five_answers_and_none_after_five_minutes() -> None:
    now = 0.0
    paces = ArmPaces(lambda: now)
    for seconds in (1, 2, 3, 40):
        paces.add("base", seconds)
    assert paces.usual_s("base") is None
    paces.add("base", 50)
    assert (paces.usual_s("base"), paces.usual_s("rag/base")) == (3, None)
    for _ in range(50):
        paces.add("base", 7)
    assert paces.usual_s("base") == 7
    now = 301.0
    assert paces.usual_s("base") is None
