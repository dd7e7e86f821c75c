"""A cluster's jobs as a test wants them."""

from collections.abc import Mapping, Sequence

from plait.serve.deployments.ray_jobs import RayJobs, State


class FakeRayJobs(RayJobs):
    """`states`: how each submitted job stands. `said`: the last sentence of every job."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.modules: dict[str, list[str]] = {}
        self.stopped: list[str] = []
        self.said = ""

    def submit(self, submission_id: str, module: Sequence[str], retries: int, metadata: Mapping[str, str]) -> None:
        self.states[submission_id] = "waiting"
        self.modules[submission_id] = list(module)

    def state(self, submission_id: str) -> State:
        return self.states.get(submission_id, "unknown")

    def last_sentence(self, submission_id: str) -> str:
        return self.said

    def stop(self, submission_id: str) -> None:
        self.stopped.append(submission_id)
        self.states[submission_id] = "stopped"
