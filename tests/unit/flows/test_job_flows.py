"""Jobs on a cluster: what is refused before any cluster is asked, and how a job stood that is stopped."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from changed_settings import changed_settings

from plait.errors import InvalidInput, PlaitError
from plait.flows import jobs
from plait.flows.jobs import JobRequest, follow, stop, submit
from plait.jobs.submission.place import Conditions


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (JobRequest("trian", ["lora"]), r"There is no job 'trian'\. Did you mean 'train'\?"),
        (JobRequest("train", ["lora"], url="http://x"), "--url goes with evaluate and compare, not with train"),
        (JobRequest("ingest", ["docs"], gpus=2), "--num-gpus goes with train"),
        (JobRequest("evaluate", ["eval.jsonl"]), "The field 'models' is required"),
    ],
)
def test_what_cannot_run_is_refused_before_a_cluster_is_asked(
    wanted: JobRequest, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "Cluster", None)
    with pytest.raises(InvalidInput, match=complaint):
        submit(wanted, None, Conditions())


@pytest.mark.parametrize(("was_running", "said"), [(True, "ran"), (False, "had ended")])
def test_a_job_that_does_not_wait_here_is_stopped_on_its_cluster(
    was_running: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimpleNamespace(jobs=SimpleNamespace(stop_job=lambda _: was_running))
    monkeypatch.setattr(jobs, "Cluster", SimpleNamespace(find=lambda _: cluster))
    monkeypatch.setattr(jobs.listing, "find", lambda *_: None)
    with changed_settings(home=tmp_path):
        assert stop("train-1", None) == said


def test_a_job_that_ends_badly_is_an_error_of_whoever_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: Any = SimpleNamespace(state="FAILED", reason="")
    monkeypatch.setattr(jobs.listing, "follow", lambda *_: ended)
    monkeypatch.setattr(jobs, "Cluster", SimpleNamespace(find=lambda _: None))
    with pytest.raises(PlaitError, match=r"train-1 ended as FAILED \(no reason given\)"):
        follow("train-1", None, print)
