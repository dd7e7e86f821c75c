"""The plot of quality against cost: points where the figures are, the front through the best, labels apart."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest
from made_findings import made_findings, made_recipe

from plait.evaluation.statistics.figure import Figure
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.cost_scale import cost_scale
from plait.jobs.compare.findings import CHANGED, LEARNED
from plait.jobs.compare.page.axis import Axis, cost_axis, share_axis
from plait.jobs.compare.page.page import render
from plait.jobs.compare.page.pareto import ParetoPlot, pareto_plot, shortened
from plait.jobs.compare.verdict import Verdict

ANSWERS = {
    "base": {LEARNED: "1" * 2 + "0" * 8},
    "lora": {LEARNED: "1" * 5 + "0" * 5},
    "rag/base": {LEARNED: "1" * 4 + "0" * 6},
    "rag/lora": {LEARNED: "1" * 8 + "0" * 2},
}
TOKENS = {"base": (90, 10), "lora": (90, 10), "rag/base": (190, 10), "rag/lora": (390, 10)}


def svg_of(tokens: Mapping[str, tuple[int, int]]) -> ElementTree.Element:
    findings = made_findings(ANSWERS, tokens=tokens)
    page = render(findings, conclude(findings))
    plots = re.findall(r'<svg class="pareto screen".*?</svg>', page, re.DOTALL)
    return ElementTree.fromstring(plots[0])


def markers(svg: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """By arm, the middle of its marker."""
    found = {}
    for group in svg.iter("g"):
        title = group.findtext("title")
        assert title is not None
        shape = next(each for each in group if each.get("class", "").startswith("arm"))
        if shape.tag == "circle":
            middle = float(shape.attrib["cx"]), float(shape.attrib["cy"])
        else:
            middle = float(shape.attrib["x"]) + 5, float(shape.attrib["y"]) + 5
        found[title.partition(":")[0]] = middle
    return found


def ticks(svg: ElementTree.Element) -> dict[str, float]:
    """By what is written there, the coordinate of a tick: of shares that from the top, of costs that from the left."""
    found = {}
    for text in svg.iter("text"):
        if text.text and re.fullmatch(r"[\d,.]+", text.text):
            found[text.text] = float(text.attrib["x"])
        elif text.text and text.text.endswith("%"):
            found[text.text] = float(text.attrib["y"]) - 4
    return found


def test_points_are_where_their_cost_and_share_are_on_the_axes() -> None:
    svg = svg_of(TOKENS)
    points, at = markers(svg), ticks(svg)
    assert points["rag/base"] == pytest.approx((at["200"], at["40%"]), abs=0.1)
    assert points["rag/lora"] == pytest.approx((at["400"], at["80%"]), abs=0.1)
    assert points["lora"] == pytest.approx((at["100"], at["50%"]), abs=0.1)


def test_costs_that_span_more_than_ten_times_are_on_a_log_scale() -> None:
    svg = svg_of(TOKENS | {"rag/lora": (9990, 10)})
    points, at = markers(svg), ticks(svg)
    assert points["rag/lora"][0] == pytest.approx(at["10,000"], abs=0.1)
    assert points["lora"][0] == pytest.approx(at["100"], abs=0.1)
    assert at["1,000"] - at["100"] == pytest.approx(at["10,000"] - at["1,000"], abs=0.1)
    assert "log scale" in "".join(svg.itertext())


def test_the_front_steps_through_the_arms_that_no_other_beats() -> None:
    svg = svg_of(TOKENS)
    points = markers(svg)
    path = next(each for each in svg.iter("path")).attrib["d"]
    (x, y), (end_x, end_y) = points["lora"], points["rag/lora"]
    assert path == f"M{x:.2f} {y:.2f} H{end_x:.2f} V{end_y:.2f}"
    filled = [
        group.findtext("title") or "" for group in svg.iter("g") if "arm on" in ElementTree.tostring(group).decode()
    ]
    assert sorted(title.partition(":")[0] for title in filled) == ["lora", "rag/lora"]


def test_arms_of_other_kinds_of_question_are_not_in_the_plot() -> None:
    findings = made_findings({arm: {**of_arm, CHANGED: "01"} for arm, of_arm in ANSWERS.items()}, tokens=TOKENS)
    verdict = conclude(findings)
    arms = [replace(arm, by_kind={CHANGED: arm.accuracy}) if arm.arm == "base" else arm for arm in verdict.arms]
    page = render(findings, replace(verdict, arms=arms))
    svg = re.findall(r'<svg class="pareto screen".*?</svg>', page, re.DOTALL)[0]
    assert set(markers(ElementTree.fromstring(svg))) == {"lora", "rag/base", "rag/lora"}


@pytest.mark.parametrize(
    ("prices", "tokens", "title"),
    [
        ({"all": {"prompt": 1, "completion": 1}}, TOKENS, "cost of 1,000 answers"),
        ({"lora": {"prompt": 1, "completion": 1}}, TOKENS, "tokens an answer"),  # others have no price
    ],
)
def test_the_scale_is_the_first_that_all_arms_are_known_on(
    prices: Mapping[str, Mapping[str, float]], tokens: Mapping[str, tuple[int, int]], title: str
) -> None:
    verdict = conclude(made_findings(ANSWERS, recipe=made_recipe(prices=prices), tokens=tokens))
    scale = cost_scale(verdict.arms)
    assert scale is not None
    assert scale.title.startswith(title)


def test_without_tokens_the_scale_is_time_and_without_time_there_is_none() -> None:
    arms = [replace(arm, prompt_tokens=None) for arm in conclude(made_findings(ANSWERS)).arms]
    scale = cost_scale(arms)
    assert scale is not None
    assert scale.by_arm["lora"] == 100.0
    assert cost_scale([replace(arm, latency_ms=None) for arm in arms]) is None


def crowded(count: int, width: float) -> ParetoPlot:
    """Arms with long names and nearly the same cost and share."""
    findings = made_findings({"base": {LEARNED: "10"}})
    verdict = conclude(findings)
    usual = verdict.arms[0]
    arms = [
        replace(
            usual,
            arm=f"rag/support-of-customers-in-german-{number}",
            prompt_tokens=500.0 + 3 * (number % 4),
            accuracy=Figure(0.6 + number / 100, 0.4, 0.8, 20, 0),
        )
        for number in range(count)
    ]
    crowd: Verdict = replace(verdict, arms=arms, front=[arms[-1].arm])
    scale = cost_scale(arms)
    assert scale is not None
    return pareto_plot(crowd, [Arm(arm.arm) for arm in arms], arms, scale, width, 400.0)


@pytest.mark.parametrize(("count", "width"), [(12, 720.0), (12, 360.0)])
def test_labels_of_a_crowd_overlap_neither_each_other_nor_the_border(count: int, width: float) -> None:
    plot = crowded(count, width)
    boxes = [point.label.box for point in plot.points]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlap(pair[1]) > 0]
    assert all(box.left >= plot.area.left and box.right <= plot.area.right for box in boxes)
    assert all(box.top >= plot.area.top and box.bottom <= plot.area.bottom for box in boxes)


def test_a_name_loses_its_middle() -> None:
    assert shortened("rag/support-of-customers updated", 20) == "rag/suppor…s updated"
    assert len(shortened("x" * 99, 20)) == 20
    assert shortened("rag/lora", 20) == "rag/lora"


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis(0.0, 0.063, 0, 1), [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]),
        (Axis(0.2, 0.9, 0, 1), [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        (Axis(8.0, 700.0, 0, 1, is_log=True), [10, 20, 50, 100, 200, 500]),
        (Axis(1.0, 1e6, 0, 1, is_log=True), [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]),
    ],
)
def test_ticks_are_round_numbers(axis: Axis, expected: list[float]) -> None:
    assert axis.ticks(9) == pytest.approx(expected)


def test_an_axis_holds_all_even_where_all_are_equal_or_nothing() -> None:
    assert cost_axis([0.0, 0.0], 0, 100).place(0.0) == 0
    assert 0 < cost_axis([5.0, 5.0], 0, 100).place(5.0) < 100
    assert not cost_axis([0.0, 5.0, 500.0], 0, 100).is_log
    assert share_axis([1.0, 1.0], 100, 0).place(1.0) == 0
    assert 0 <= share_axis([0.0], 100, 0).place(0.0) <= 100
