"""The rules: promtool accepts them, each alert fires when it must and is silent when not, and each has its page."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plait.errors import RecipeError
from plait.observability.alert_policy import AlertPolicy
from plait.observability.alerts import failures, rule_groups, rules_file
from plait.recipes import load_recipe

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests/data/alert_cases.yaml"
SCALED = AlertPolicy(time_scale=0.01, ttft_s=0.001)


def alerts(policy: AlertPolicy) -> list[dict[str, Any]]:
    return [rule for group in rule_groups(policy)["groups"] for rule in group["rules"] if "alert" in rule]


def promtool(binary: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    tool = Path(binary).with_name("promtool")
    return subprocess.run([str(tool), *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("policy", [AlertPolicy(), SCALED])
def test_promtool_accepts_the_rules(policy: AlertPolicy, prometheus_binary: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rules_file(policy))
    checked = promtool(prometheus_binary, "check", "rules", str(tmp_path / "rules.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_when_it_must_and_is_silent_when_not(prometheus_binary: str, tmp_path: Path) -> None:
    # Two minutes for thirty seconds: a day is looked at in a quarter of the time.
    (tmp_path / "rules.yml").write_text(rules_file(AlertPolicy()).replace("interval: 30s", "interval: 2m"))
    shutil.copy(CASES, tmp_path)
    tested = promtool(prometheus_binary, "test", "rules", str(tmp_path / CASES.name))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    text = CASES.read_text(encoding="utf-8")
    assert {alert["alert"] for alert in alerts(AlertPolicy()) if f'alertname="{alert["alert"]}"' not in text} == set()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    pages = {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")}
    assert {alert["alert"] for alert in alerts(AlertPolicy())} == pages
    for alert in alerts(AlertPolicy()):
        page = ROOT / alert["annotations"]["runbook_url"]
        assert page.read_text(encoding="utf-8").startswith(f"# {alert['alert']}\n")


def test_runbooks_are_linked_where_the_policy_says() -> None:
    (first, *_) = alerts(AlertPolicy(runbooks="https://git.example.org/runbooks/"))
    assert first["annotations"]["runbook_url"] == "https://git.example.org/runbooks/PlaitErrorBudgetBurn.md"


def test_every_window_is_scaled() -> None:
    text = rules_file(SCALED)
    assert "[1h]" not in text
    assert "[36s]" in text
    assert "offset 864s" in text
    assert "> 936" in text  # 26 hours


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ttft_s=2", "no bucket of the histogram"),
        ("error_objective=0.9", "an outage of everything burns too slowly"),
        ("ttft=2", "Did you mean 'ttft_s'"),
    ],
)
def test_a_policy_that_cannot_be_measured_is_refused(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(AlertPolicy, None, [override])


def test_what_fails_by_our_fault_is_what_answers_5xx_or_429() -> None:
    assert set(failures().split("|")) == {
        "failed",
        "not_finite",
        "insufficient_storage",
        "deadline_exceeded",
        "unavailable",
        "overloaded",
        "interrupted",
    }
