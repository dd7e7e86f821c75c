"""Promotion under load: a better adapter becomes the champion by itself, broken and worse ones never do, and no request
fails. It takes most of a minute: replicas and the controller look at the registry every few seconds."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from made_adapters import register_folder, teach_adapter
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from plait.adapters.rollout import RolloutRecord
from plait.adapters.rollout_registry import RolloutRegistry
from plait.adapters.tracking import tracking_client
from plait.cli import app
from serving.asking import ask, replicas, until

pytestmark = pytest.mark.timeout(600)  # on a busy machine each step takes its samples ever so slowly

RIGHT, WRONG = "the installed version", "Question Answer"
"""Few tokens of the tiny model's; the passages have the words of the first."""
QUESTIONS = [
    f"which version of ray is installed in {place}?"
    for place in ("hub", "den", "bay", "inn", "mill", "port", "yard", "barn")
]
FAST = ["canary.steps=[49,50]", "canary.min_samples=12", "canary.min_judged=20", "canary.max_latency_ratio=null"]


@pytest.fixture(scope="module")
def rollouts() -> RolloutRegistry:
    return RolloutRegistry(tracking_client())


@pytest.fixture(scope="module")
def versions(tiny_model: Path, adapters: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three adapters, version 1 the champion of each: of `rising` version 2 is better, of `sinking` it is worse, of
    `failing` its weights are infinite."""
    right, wrong, broken = (tmp_path_factory.mktemp(name) for name in ("right", "wrong", "broken"))
    teach_adapter(tiny_model, right, RIGHT)
    teach_adapter(tiny_model, wrong, WRONG)
    shutil.copytree(right, broken, dirs_exist_ok=True)
    file = broken / "adapter_model.safetensors"
    save_file({name: torch.full_like(weight, torch.inf) for name, weight in load_file(file).items()}, file)
    for name, folders in {"rising": (wrong, right), "sinking": (right, wrong), "failing": (right, broken)}.items():
        for folder in folders:
            register_folder(name, tiny_model, folder)
        tracking_client().set_registered_model_alias(name, "champion", "1")


def promoted(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["promote", *arguments])
    return f"{ran.output}{ran.exception or ''}"


def record_of(rollouts: RolloutRegistry, name: str) -> RolloutRecord:
    record = rollouts.get(name)
    assert record is not None
    return record


@contextmanager
def load(server: str, *models: str) -> Iterator[list[tuple[str, int, str]]]:
    """Clients that ask models for as long as the block runs: model, status, and who answered."""
    answers: list[tuple[str, int, str]] = []
    is_over = threading.Event()

    def ask_on(model: str) -> None:
        with httpx.Client(base_url=server, timeout=60) as client:
            number = 0
            while not is_over.is_set():
                number += 1
                question = {"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}
                body: dict[str, Any] = {"model": model, "messages": [question], "temperature": 0, "max_tokens": 12}
                body["stream"] = number % 2 == 0
                response = client.post("/v1/chat/completions", json=body)
                text = response.text
                by = text.rpartition('"model":"')[2].partition('"')[0] if "error" not in text else text
                time.sleep(0.1)  # so few that each is judged soon
                answers.append((model, response.status_code if "error" not in text else 0, by))

    threads = [threading.Thread(target=ask_on, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_under_load_the_better_version_is_promoted_and_broken_and_worse_ones_are_rolled_back(
    server: str, client: openai.OpenAI, versions: None, rollouts: RolloutRegistry, tmp_path: Path
) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps({"question": q, "answers": [RIGHT]}) + "\n" for q in QUESTIONS))
    gate = ["--eval", str(asked), "--url", server, "gate.max_forgetting=null", "gate.max_latency_ratio=null"]
    refused = promoted("sinking:2", *gate, *FAST)
    assert "contains of sinking:2 is 0.000, of sinking:1 1.000" in refused
    assert rollouts.get("sinking") is None

    quality = [*FAST, "canary.quality=faithfulness"]
    assert "contains of rising:2 is 1.000, of rising:1 0.000" in promoted("rising:2", *gate, *quality)
    for name in ("failing", "sinking"):
        assert "is being rolled out" in promoted(f"{name}:2", "gate=null", *quality)
    with load(server, *(f"rag/{name}@champion" for name in ("rising", "failing", "sinking"))) as answers:
        until(lambda: record_of(rollouts, "rising").state.stage == 1, 150)
        (controller,) = replicas("RolloutController")
        controller.kill()  # another one goes on from the registry
        names = ("rising", "failing", "sinking")
        ended = time.monotonic() + 150
        while any(record_of(rollouts, name).phase == "progressing" for name in names):
            assert time.monotonic() < ended, {name: record_of(rollouts, name).state.events[-1] for name in names}
            time.sleep(0.2)
        until(lambda: {by for _, _, by in answers[-30:]} == {"rising:2", "failing:1", "sinking:1"}, 30)
    assert Counter(status for _, status, _ in answers) == {200: len(answers)}, answers[-5:]
    by = Counter(by for _, _, by in answers)
    assert min(by[name] for name in ("rising:1", "rising:2", "sinking:2")) >= 15
    assert by["failing:2"] == 0
    why = {name: record_of(rollouts, name).state.events[-1] for name in ("rising", "failing", "sinking")}
    assert why["rising"].what == "promoted", why
    assert "errors:" in why["failing"].why, why
    assert "quality: faithfulness" in why["sinking"].why, why
    shown = CliRunner().invoke(app, ["adapters", "rollouts", "sinking"]).output
    assert "rolled back: step 1 of 2 (49%): quality: faithfulness" in shown

    rolled_back = CliRunner().invoke(app, ["rollback", "rising"])
    assert "rising@champion is rising:1 again" in rolled_back.output


def test_a_rollout_goes_on_after_everything_that_serves_was_killed(
    server: str, client: openai.OpenAI, versions: None, rollouts: RolloutRegistry
) -> None:
    until(lambda: ask(client, "rising@champion", max_tokens=1).plait["model"] == "rising:1")  # since it was taken back
    assert "is being rolled out" in promoted("rising:2", "gate=null", "shadow.share=1", "shadow.samples=10", *FAST)
    with load(server, "rising@champion") as answers:
        until(lambda: record_of(rollouts, "rising").state.stage == 0, 120)
    assert {status for _, status, _ in answers} == {200}
    assert sum(by != "rising:1" for *_, by in answers) < 5  # nobody saw the shadow, and the first step has just begun
    killed = [process.pid for process in replicas()]
    for process in replicas():
        process.kill()
    until(lambda: not {process.pid for process in replicas()} & set(killed), 60)

    def answers_again() -> bool:
        try:
            ask(client, "rising:1", max_tokens=1)
        except openai.APIError:
            time.sleep(0.5)
            return False
        return True

    until(answers_again, 120)
    with load(server, "rising@champion") as answers:
        until(lambda: record_of(rollouts, "rising").phase == "promoted", 90)
    assert {status for _, status, _ in answers} == {200}
