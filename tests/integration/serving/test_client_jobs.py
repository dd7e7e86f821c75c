"""Fine-tuning jobs and batches as OpenAI's client orders them: Ray jobs of this cluster, so this takes a minute."""

import json
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from session_processes import session_processes

from plait.client_jobs.batches import BATCHES
from serving.asking import ADMIN_KEY, metric, text_of, until

# Two jobs start a driver and workers each, on a machine that other tests use, too.
PATIENCE_S = 400
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def admin(client: openai.OpenAI) -> openai.OpenAI:
    return client.with_options(api_key=ADMIN_KEY)


def sent(admin: openai.OpenAI, purpose: Any, rows: list[dict[str, Any]]) -> str:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return admin.files.create(file=("rows.jsonl", text.encode()), purpose=purpose).id


def asked(custom_id: str, model: str = "base", **body: Any) -> dict[str, Any]:
    question = {"model": model, "messages": [{"role": "user", "content": custom_id}], "temperature": 0} | body
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": question}


def ended(look: Callable[[], Any], *states: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while (found := look()).status not in states:
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
    return found


def example(number: int) -> dict[str, Any]:
    said = [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": "the installed"}]
    return {"messages": said}


def test_openais_client_trains_waits_chats_with_the_model_and_asks_a_batch_of_it(admin: openai.OpenAI) -> None:
    training = sent(admin, "fine-tune", [example(number) for number in range(16)])
    unlearnable = sent(admin, "fine-tune", [example(1), {"messages": [{"role": "user", "content": "and?"}]}])
    refused = admin.fine_tuning.jobs.create(model="base", training_file=unlearnable)
    job = admin.fine_tuning.jobs.create(
        model="base",
        training_file=training,
        suffix="Birds",
        seed=3,
        metadata={"team": "birds"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 2, "learning_rate_multiplier": 4}},
        },
    )
    failed = ended(lambda: admin.fine_tuning.jobs.retrieve(refused.id), "failed", "succeeded")
    assert failed.error.param == "training_file"
    assert failed.error.message.startswith("Line 2 of rows.jsonl is no example: its messages must")
    assert (job.status, job.fine_tuned_model, job.seed) == ("validating_files", None, 3)
    done = ended(lambda: admin.fine_tuning.jobs.retrieve(job.id), "succeeded", "failed")
    assert done.status == "succeeded", done.error
    assert done.fine_tuned_model is not None
    assert done.fine_tuned_model.startswith("ft-birds-")
    assert done.trained_tokens > 0
    assert [each.id for each in admin.fine_tuning.jobs.list(limit=1)][:1] == [job.id]
    events = list(admin.fine_tuning.jobs.list_events(job.id, limit=2))  # the client follows the pages
    messages = [event.message for event in events]
    assert messages[0] == "The job has completed."
    assert messages[-1] == f"Validating the file {training}."
    steps = [event.data for event in reversed(events) if event.type == "metrics"]
    assert [step["step"] for step in steps] == list(range(1, int(steps[-1]["total_steps"]) + 1))
    assert steps[-1]["train_loss"] < steps[0]["train_loss"]
    (checkpoint,) = admin.fine_tuning.jobs.checkpoints.list(job.id).data
    assert checkpoint.step_number == steps[-1]["step"]
    losses = admin.files.content(done.result_files[0]).text.splitlines()
    assert losses[0] == "step,train_loss,valid_loss"
    assert len(losses) == len(steps) + 1
    assert text_of(admin, done.fine_tuned_model) != text_of(admin, "base")
    assert done.fine_tuned_model in {model.id for model in admin.models.list()}

    rows = [asked(f"r-{n}", done.fine_tuned_model if n % 2 else "base", max_tokens=4) for n in range(20)]
    rows[7]["body"]["model"] = "nobody"
    batch = admin.batches.create(
        input_file_id=sent(admin, "batch", rows), endpoint="/v1/chat/completions", completion_window="24h"
    )
    batch = ended(lambda: admin.batches.retrieve(batch.id), "completed", "failed", "expired")
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", 20, 19, 1), batch
    answers = [json.loads(line) for line in admin.files.content(batch.output_file_id).text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == [f"r-{n}" for n in range(20) if n != 7]
    one = admin.chat.completions.create(**rows[1]["body"])
    assert answers[1]["response"]["body"]["choices"][0]["message"]["content"] == one.choices[0].message.content
    (wrong,) = [json.loads(line) for line in admin.files.content(batch.error_file_id).text.splitlines()]
    assert (wrong["custom_id"], wrong["response"]["status_code"]) == ("r-7", 404)
    assert wrong["response"]["body"]["error"]["code"] == "model_not_found"
    used = batch.usage
    assert used.output_tokens == sum(answer["response"]["body"]["usage"]["completion_tokens"] for answer in answers)
    assert metric("plait_batch_requests_total", outcome="completed") == 19


def test_a_batch_whose_job_is_killed_goes_on_and_one_that_is_cancelled_keeps_its_answers(admin: openai.OpenAI) -> None:
    rows = [asked(f"c-{n}", max_tokens=200, ignore_eos=True) for n in range(400)]
    file = sent(admin, "batch", rows)
    batch = admin.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h")

    def answered() -> int:
        return admin.batches.retrieve(batch.id).request_counts.completed

    until(lambda: answered() > 0, PATIENCE_S)
    (driver,) = [
        p for p in session_processes() if (p.info["cmdline"] or [])[1:4] == ["-m", "plait.jobs.batches", batch.id]
    ]
    driver.kill()
    driver.wait()
    kept = len(BATCHES.find(batch.id).answers.places())
    until(lambda: answered() > kept, PATIENCE_S)
    assert admin.batches.cancel(batch.id).status == "cancelling"
    cancelled = ended(lambda: admin.batches.retrieve(batch.id), "cancelled", "completed")
    assert cancelled.status == "cancelled"
    ids = [json.loads(line)["custom_id"] for line in admin.files.content(cancelled.output_file_id).text.splitlines()]
    assert ids == sorted(ids, key=lambda each: int(each.removeprefix("c-")))
    assert kept < len(set(ids)) == len(ids) == cancelled.request_counts.completed < 400
    assert cancelled.request_counts.failed == 0
