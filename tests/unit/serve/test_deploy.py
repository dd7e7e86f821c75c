"""What a deployment says while it starts, and why it did not."""

import pytest
from ray.serve._private.application_state import ApplicationStatusInfo, StatusOverview
from ray.serve._private.common import DeploymentStatus, DeploymentStatusInfo, DeploymentStatusTrigger
from ray.serve.schema import ApplicationStatus

from plait.errors import PlaitError
from plait.serve import deploy


def overview(state: str, **deployments: tuple[str, str]) -> StatusOverview:
    """An application in a state, with the state and message of each deployment."""
    return StatusOverview(
        app_status=ApplicationStatusInfo(ApplicationStatus(state), "", 0.0),
        deployment_statuses=[
            DeploymentStatusInfo(name, DeploymentStatus(now), DeploymentStatusTrigger.UNSPECIFIED, message)
            for name, (now, message) in deployments.items()
        ],
    )


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_LOOK_EVERY_S", 0.0)


def test_what_is_waited_for_is_said_once() -> None:
    seen = [
        overview("NOT_STARTED"),
        overview("DEPLOYING", LLM=("UPDATING", ""), Retriever=("UPDATING", "")),
        overview("DEPLOYING", LLM=("UPDATING", ""), Retriever=("UPDATING", "")),
        overview("DEPLOYING", LLM=("UPDATING", ""), Retriever=("HEALTHY", "")),
        overview("RUNNING", LLM=("HEALTHY", ""), Retriever=("HEALTHY", "")),
    ]
    told: list[str] = []
    deploy._wait(iter(seen).__next__, told.append)
    assert told == ["starting Ray Serve", "starting LLM, Retriever", "starting LLM"]


def test_a_deployment_that_fails_gives_its_reason_in_one_sentence() -> None:
    message = "Traceback (most recent call last):\n  File x\nplait.errors.ModelNotFound: There is no model 'x'.\nat y"
    failed = overview("DEPLOYING", LLM=("DEPLOY_FAILED", message))
    with pytest.raises(PlaitError, match=r"did not start \(plait\.errors\.ModelNotFound: There is no model 'x'\.\)"):
        deploy._wait(lambda: failed, print)
