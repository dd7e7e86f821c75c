"""What is told of a job, whatever Ray's client says of it."""

from types import SimpleNamespace
from typing import Any

import pytest
from changed_settings import changed_settings

from plait.errors import Unavailable
from plait.serve.deployments.ray_jobs import RayJobs

GONE = RuntimeError("Request failed with status code 404: Job a-404 does not exist.")


def raises(error: Exception) -> Any:
    def method(*_: Any, **__: Any) -> Any:
        raise error

    return method


def jobs(**methods: Any) -> RayJobs:
    made = RayJobs()
    made._client = SimpleNamespace(**methods)  # type: ignore[assignment]
    return made


def test_a_job_that_the_cluster_does_not_know_is_told_from_a_cluster_that_does_not_answer() -> None:
    assert jobs(get_job_status=lambda _: SimpleNamespace(value="STOPPED")).state("a") == "stopped"
    assert jobs(get_job_status=raises(GONE)).state("a") == "unknown"
    for error in (ConnectionError("refused"), RuntimeError("Request failed with status code 500: a-404")):
        with pytest.raises(Unavailable, match="Ray's Jobs API does not answer"):
            jobs(get_job_status=raises(error)).state("a")


def test_a_job_that_was_submitted_before_stays_what_it_is() -> None:
    twice = raises(RuntimeError("Request failed with status code 500: Job with submission_id a already exists."))
    running = {"get_job_status": lambda _: SimpleNamespace(value="RUNNING")}
    jobs(submit_job=twice, **running).submit("a", ["m"], 0, {})
    with pytest.raises(Unavailable, match="The cluster does not take the job"):
        jobs(submit_job=raises(RuntimeError("no")), get_job_status=raises(GONE)).submit("a", ["m"], 0, {})


def test_secrets_do_not_travel_with_a_job() -> None:
    sent: dict[str, Any] = {}
    with changed_settings(admin_key="secret", milvus_token="secret", metrics_port="7"):
        jobs(submit_job=sent.update).submit("a", ["plait.jobs.train", "a b.yaml"], 2, {})
    assert sent["entrypoint"] == "python -m plait.jobs.submission.attempts 2 plait.jobs.train 'a b.yaml'"
    assert sent["runtime_env"]["env_vars"]["PLAIT_METRICS_PORT"] == "7"
    assert "secret" not in str(sent)


def test_the_last_sentence_of_plaits_is_what_a_job_said() -> None:
    said = "plait: one\nattempt 1 ended with 1; retry 1 of 1 in 5 s\nplait: two. Do this.\nWhat libraries said: x\n"
    assert jobs(get_job_logs=lambda _: said).last_sentence("a") == "two. Do this."
    assert jobs(get_job_logs=lambda _: "Killed").last_sentence("a") == ""
