"""Jobs of clients on the disk: whose they are, and what one that is broken costs."""

from pathlib import Path
from typing import Any

import pytest
from changed_settings import changed_settings

from plait.client_jobs.tuning import TUNING_JOBS, EventLog, TuningEvent, TuningJob, maker_of, model_name
from plait.documents.uploads.reach import EVERYTHING, Reach
from plait.errors import NotFound


def job(created_at: int = 1, **fields: Any) -> TuningJob:
    job_id = TUNING_JOBS.new_id()
    common = {"of": EVERYTHING, "owner": "o", "model": "base", "training_file": "file-1"} | fields
    made = TuningJob(id=job_id, created_at=created_at, name=model_name(job_id, "My Birds!"), **common)
    TUNING_JOBS.add(made, {})
    return made


def test_a_tenant_finds_its_own_jobs_newest_first(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        first, second = job(1, of=Reach(tenant="acme")), job(1, of=Reach(tenant="acme"))
        other = job(3, of=Reach(tenant="other"))
        acme = Reach(tenant="acme")
        assert TUNING_JOBS.jobs(acme) == [second, first]
        assert TUNING_JOBS.jobs() == [other, second, first]
        for unknown in (other.id, "ftjob-" + "0" * 24, "../x", ""):
            with pytest.raises(NotFound, match="There is no fine-tuning job"):
                TUNING_JOBS.find(unknown, acme)


def test_a_job_whose_state_is_broken_costs_only_itself(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        broken, sound = job(), job()
        (TUNING_JOBS.folder(broken.id) / "job.json").write_text("{")
        assert TUNING_JOBS.jobs() == [sound]


def test_a_models_name_says_what_it_is_called_and_whose_it_is(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        made = job(of=Reach(tenant="acme"), owner="key")
        assert made.name == f"ft-my-birds-{made.id.removeprefix('ftjob-')}"
        assert maker_of(made.name) == (Reach(tenant="acme"), "key")
        assert maker_of("support") is None
        assert maker_of("ft-" + "0" * 24) is None


def test_an_event_is_kept_once_and_half_a_line_is_cut(tmp_path: Path) -> None:
    with changed_settings(home=tmp_path):
        made = job()
        log = EventLog(made.id)
        one, two = (TuningEvent(id=f"ftevent-{n}", created_at=n, message="m") for n in (1, 2))
        log.add([one])
        file = TUNING_JOBS.folder(made.id) / "events.jsonl"
        file.write_bytes(file.read_bytes() + b'{"id"')
        assert log.read() == [one]
        log.add([one, two])
        assert log.read() == [one, two]
