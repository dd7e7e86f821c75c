"""Fine-tuning jobs and batches by OpenAI's own client: what is taken, what is refused, and what is shown of a job."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from changed_settings import changed_settings
from described import strict_description, validator
from fastapi.testclient import TestClient

from plait import api_keys
from plait.client_jobs.batches import BATCHES, BatchError, Used
from plait.client_jobs.tuning import RECIPE_FILE, TUNING_JOBS, Checkpoint, Failure
from plait.errors import RecipeError
from plait.recipes import TokenPrice, TrainRecipe
from plait.scope import Scope
from plait.serve.api.fine_tuning.recipe import check_recipes
from plait.serve.api.from_within import answered_inside
from plait.serve.api.services import deployments
from plait.serve.app import parse
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.job_arguments import FineTuningArguments
from serve_api.every_route import ADAPTER, CHAT, Behind

Client = Callable[..., openai.OpenAI]
ALL = frozenset({Scope.INFER, Scope.DOCUMENTS, Scope.JOBS})
ROWS = b'{"question": "a", "answer": "b"}\n'


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def http(tmp_path: Path, behind: Behind) -> Iterator[TestClient]:
    with changed_settings(home=tmp_path):
        api = build_api()
        api.dependency_overrides[deployments] = lambda: behind.deployments
        with TestClient(api, raise_server_exceptions=False) as client:
            yield client


@pytest.fixture
def client_of(http: TestClient) -> Client:
    """Makes a client with a key that is bound to what is given."""

    def make(**bounds: Any) -> openai.OpenAI:
        _, secret = api_keys.create("a test", ALL, **bounds)
        return openai.OpenAI(api_key=secret, base_url="http://testserver/v1", http_client=http, max_retries=0)

    return make


@pytest.fixture
def ai(client_of: Client) -> openai.OpenAI:
    return client_of()


def sent(ai: openai.OpenAI, purpose: Any = "fine-tune") -> str:
    return ai.files.create(file=("rows.jsonl", ROWS), purpose=purpose).id


def train(ai: openai.OpenAI, **fields: Any) -> Any:
    return ai.fine_tuning.jobs.create(**({"model": "base", "training_file": sent(ai)} | fields))


def recipe_of(job: Any) -> TrainRecipe:
    text = (TUNING_JOBS.folder(job.id) / RECIPE_FILE).read_text()
    return TrainRecipe.model_validate(yaml.safe_load(text))


def supervised(**hyperparameters: Any) -> Any:
    return {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}


def test_a_job_trains_the_servers_model_by_its_recipe_as_far_as_the_client_does_not_say(ai: openai.OpenAI) -> None:
    job = train(ai, suffix="My Birds", validation_file=sent(ai), metadata={"team": "birds"}, seed=7)
    recipe = recipe_of(job)
    assert (recipe.objective.kind, recipe.train.epochs, recipe.train.batch_size, recipe.train.lr) == ("sft", 3, 4, 5e-4)
    assert recipe.name == f"ft-my-birds-{job.id.removeprefix('ftjob-')}"
    assert recipe.model.source == AppArguments().llm.model
    assert recipe.data.train.endswith(f"{job.training_file}/rows.jsonl")
    assert str(recipe.data.eval).endswith(f"{job.validation_file}/rows.jsonl")
    assert (job.object, job.status, job.seed, job.metadata) == (
        "fine_tuning.job",
        "validating_files",
        7,
        {"team": "birds"},
    )
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (3, 4)
    assert job.method.supervised.hyperparameters.learning_rate_multiplier == 1.0
    assert (job.fine_tuned_model, job.error, job.result_files) == (None, None, [])


def test_hyperparameters_are_read_from_the_method_and_from_their_deprecated_place(ai: openai.OpenAI) -> None:
    wanted = {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 2}
    for job in (train(ai, method=supervised(**wanted)), train(ai, hyperparameters=wanted)):
        recipe = recipe_of(job)
        assert (recipe.train.epochs, recipe.train.batch_size) == (2, 1)
        assert recipe.train.lr == pytest.approx(1e-3)
    auto = recipe_of(train(ai, hyperparameters={"n_epochs": "auto", "batch_size": "auto"}))
    assert (auto.train.epochs, auto.train.batch_size) == (3, 4)


def test_dpo_trains_by_its_own_recipe(ai: openai.OpenAI) -> None:
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3, "n_epochs": 4}}}
    job = train(ai, method=method)
    recipe = recipe_of(job)
    assert (recipe.objective.kind, recipe.objective.beta, recipe.train.epochs) == ("dpo", 0.3, 4)  # type: ignore[attr-defined]
    assert (job.method.type, job.method.dpo.hyperparameters.beta) == ("dpo", 0.3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method": {"type": "reinforcement", "reinforcement": {"grader": {}}}}, "reinforcement is not supported yet"),
        ({"method": {"type": "other"}}, "'other' is no method"),
        ({"method": {"type": "supervised", "dpo": {}}}, "dpo has no place beside the type supervised"),
        ({"method": supervised(), "hyperparameters": {}}, "method and hyperparameters exclude each other"),
        ({"hyperparameters": {"n_epochs": 0}}, "n_epochs"),
        ({"hyperparameters": {"n_epochs": 51}}, "51 epochs, and this server trains 50 at most"),
        ({"training_file": "file-" + "0" * 32}, "There is no file"),
        ({"model": "rag/base"}, "'rag/base' is no model to train"),
        ({"model": "gpt-4o-mini"}, "There is no model 'gpt-4o-mini' to train on"),
        ({"color": "red"}, "'color' is not known"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(ai: openai.OpenAI, fields: Any, said: str) -> None:
    with pytest.raises(openai.APIStatusError, match=said):
        train(ai, extra_body=fields)
    assert TUNING_JOBS.jobs() == []


def test_a_file_of_another_purpose_is_refused(ai: openai.OpenAI) -> None:
    with pytest.raises(
        openai.BadRequestError, match=r"purpose 'batch'\. Send it with the purpose fine-tune"
    ) as refused:
        train(ai, training_file=sent(ai, "batch"))
    assert refused.value.param == "training_file"


def test_an_adapter_is_trained_on(client_of: Client) -> None:
    assert recipe_of(train(client_of(), model=ADAPTER)).continue_from == ADAPTER
    with pytest.raises(openai.PermissionDeniedError):
        train(client_of(adapters=("sales",)), model=ADAPTER)


def test_wandb_is_taken_and_the_events_say_that_nothing_is_sent(ai: openai.OpenAI) -> None:
    job = train(ai, integrations=[{"type": "wandb", "wandb": {"project": "p", "tags": ["t"]}}])
    (event,) = ai.fine_tuning.jobs.list_events(job.id)
    assert (event.level, event.type) == ("warn", "message")
    assert "Nothing is sent to Weights & Biases" in event.message


def test_lists_come_in_pages_and_by_metadata(client_of: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    acme, other = client_of(tenant="acme"), client_of(tenant="other")
    ids = []
    for number in range(3):
        monkeypatch.setattr("time.time", lambda number=number: 2e9 + number)
        ids.append(train(acme, metadata={"n": str(number)}).id)
    assert [job.id for job in acme.fine_tuning.jobs.list(limit=2)] == ids[::-1]
    assert [job.id for job in acme.fine_tuning.jobs.list(metadata={"n": "1"})] == [ids[1]]
    assert list(other.fine_tuning.jobs.list()) == []


def test_another_tenants_job_and_model_are_not_there(client_of: Client, behind: Behind) -> None:
    acme, other, unbound = client_of(tenant="acme"), client_of(tenant="other"), client_of()
    job = train(acme)
    name = TUNING_JOBS.find(job.id).name
    for look in (
        other.fine_tuning.jobs.retrieve,
        other.fine_tuning.jobs.cancel,
        other.fine_tuning.jobs.list_events,
        other.fine_tuning.jobs.checkpoints.list,
    ):
        with pytest.raises(openai.NotFoundError, match="There is no fine-tuning job"):
            look(job.id)
    with pytest.raises(openai.PermissionDeniedError):
        other.chat.completions.create(model=name, messages=CHAT["messages"])
    for allowed in (acme, unbound):
        assert allowed.chat.completions.create(model=name, messages=CHAT["messages"]).choices


def test_a_key_that_is_bound_to_adapters_may_use_what_it_has_trained(client_of: Client) -> None:
    bound, same = client_of(adapters=("sales",)), client_of(adapters=("sales",))
    name = TUNING_JOBS.find(train(bound).id).name
    assert bound.chat.completions.create(model=name, messages=CHAT["messages"]).choices
    with pytest.raises(openai.PermissionDeniedError):
        same.chat.completions.create(model=name, messages=CHAT["messages"])


def test_a_job_is_cancelled_once_and_never_paused(ai: openai.OpenAI) -> None:
    job = train(ai)
    for never in (ai.fine_tuning.jobs.pause, ai.fine_tuning.jobs.resume):
        with pytest.raises(openai.ConflictError, match="can be neither paused nor resumed"):
            never(job.id)
    cancelled = ai.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    TUNING_JOBS.write(TUNING_JOBS.find(job.id).model_copy(update={"status": "cancelled"}))
    with pytest.raises(openai.ConflictError, match="has ended already"):
        ai.fine_tuning.jobs.cancel(job.id)


def test_what_has_ended_is_shown_with_model_checkpoint_and_error(ai: openai.OpenAI, http: TestClient) -> None:
    job = TUNING_JOBS.find(train(ai).id)
    kept = Checkpoint(step=9, created_at=5, train_loss=1.5, valid_loss=2.5)
    TUNING_JOBS.write(job.model_copy(update={"status": "succeeded", "checkpoint": kept, "trained_tokens": 77}))
    shown = ai.fine_tuning.jobs.retrieve(job.id)
    assert (shown.status, shown.fine_tuned_model, shown.trained_tokens) == ("succeeded", job.name, 77)
    (checkpoint,) = ai.fine_tuning.jobs.checkpoints.list(job.id)
    assert (checkpoint.fine_tuned_model_checkpoint, checkpoint.step_number) == (f"{job.name}:1", 9)
    assert (checkpoint.metrics.train_loss, checkpoint.metrics.valid_loss) == (1.5, 2.5)
    why = Failure(code="invalid_file", message="Line 2 is wrong.", param="training_file")
    TUNING_JOBS.write(job.model_copy(update={"status": "failed", "error": why}))
    failed = ai.fine_tuning.jobs.retrieve(job.id)
    assert (failed.fine_tuned_model, failed.error.message) == (None, "Line 2 is wrong.")  # type: ignore[union-attr]


def test_so_many_jobs_of_a_key_may_be_under_way(ai: openai.OpenAI, behind: Behind, monkeypatch: Any) -> None:
    few = behind.deployments.arguments.model_copy(
        update={"fine_tuning": FineTuningArguments(enabled=True, max_waiting=1)}
    )
    object.__setattr__(behind.deployments, "arguments", few)
    job = train(ai)
    with pytest.raises(openai.RateLimitError, match="1 fine-tuning jobs of this key are under way"):
        train(ai)
    TUNING_JOBS.write(TUNING_JOBS.find(job.id).model_copy(update={"status": "failed"}))
    train(ai)


def test_an_application_that_does_neither_says_so(ai: openai.OpenAI, behind: Behind) -> None:
    object.__setattr__(behind.deployments, "arguments", AppArguments())
    with pytest.raises(openai.NotFoundError, match=r"does not train\. Let it: set fine_tuning.enabled=true"):
        ai.fine_tuning.jobs.list()
    with pytest.raises(openai.NotFoundError, match=r"runs no batches\. Let it: set batches.enabled=true"):
        ai.batches.list()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"recipe": "dpo"}, "fine_tuning.recipe is 'dpo', whose objective is dpo"),
        ({"dpo_recipe": "lora"}, "fine_tuning.dpo_recipe is 'lora', whose objective is sft"),
        ({"recipe": "full-zero2"}, "trains a whole model"),
        ({"fields": ("train.lrr=1",)}, "'train.lrr' is not known"),
    ],
)
def test_recipes_that_cannot_be_used_are_told_before_anything_is_served(fields: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        check_recipes(parse({"fine_tuning": {"enabled": True} | fields}))


def order(ai: openai.OpenAI, **fields: Any) -> Any:
    wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h"} | fields
    return ai.batches.create(**({"input_file_id": sent(ai, "batch")} | wanted))


def test_a_batch_is_ordered_shown_and_cancelled(ai: openai.OpenAI, client_of: Client) -> None:
    batch = order(ai, metadata={"a": "b"}, output_expires_after={"anchor": "created_at", "seconds": 7200})
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", "/v1/chat/completions")
    assert batch.expires_at == batch.created_at + 24 * 3600
    assert batch.request_counts.model_dump() == {"total": 0, "completed": 0, "failed": 0}
    kept = BATCHES.find(batch.id)
    assert (kept.output_expires_after_s, kept.base_url) == (7200, "http://testserver")
    assert [each.id for each in ai.batches.list(limit=1)] == [batch.id]
    other = client_of(tenant="other")
    for look in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(openai.NotFoundError, match="There is no batch"):
            look(batch.id)
    cancelling = ai.batches.cancel(batch.id)
    assert cancelling.status == "cancelling"
    assert cancelling.cancelling_at is not None


def test_what_a_batch_used_and_what_is_wrong_with_it_is_shown(ai: openai.OpenAI) -> None:
    batch = BATCHES.find(order(ai).id)
    assert ai.batches.retrieve(batch.id).plait == {"price": 0.5, "cost": None}  # type: ignore[attr-defined]
    used = Used(input_tokens=10, cached_tokens=5, output_tokens=20, cost=0.25)
    wrong = BatchError(code="invalid_url", message="Line 1: no.", line=1, param="url")
    BATCHES.write(batch.model_copy(update={"status": "completed", "usage": used, "errors": (wrong,)}))
    shown = ai.batches.retrieve(batch.id)
    assert shown.usage is not None
    assert (shown.usage.total_tokens, shown.usage.input_tokens_details.cached_tokens) == (30, 5)
    assert shown.errors is not None
    assert shown.errors.data is not None
    assert (shown.errors.data[0].line, shown.errors.data[0].code) == (1, "invalid_url")
    assert shown.plait == {"price": 0.5, "cost": 0.25}  # type: ignore[attr-defined]


def test_batches_of_other_endpoints_are_refused(ai: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="nothing else is made here"):
        order(ai, endpoint="/v1/moderations")


@pytest.mark.parametrize("kind", ["fine_tuning/jobs", "batches"])
def test_answers_follow_the_description(ai: openai.OpenAI, http: TestClient, kind: str) -> None:
    made = train(ai) if kind == "fine_tuning/jobs" else order(ai)
    document = strict_description()
    parameter = "{job_id}" if kind == "fine_tuning/jobs" else "{batch_id}"
    more = ("/events", "/checkpoints") if kind == "fine_tuning/jobs" else ()
    headers = {"Authorization": f"Bearer {ai.api_key}"}
    for ending in ("", f"/{parameter}", *(f"/{parameter}{each}" for each in more)):
        path = f"/v1/{kind}{ending}"
        answer = http.get(path.replace(parameter, made.id), headers=headers)
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        validator(document, schema).validate(answer.json())


async def test_a_request_of_a_batch_has_the_rights_that_its_key_has_now(http: TestClient) -> None:
    key, _ = api_keys.create("a test", ALL, adapters=("sales",))

    async def ask(model: str) -> tuple[int, Any]:
        body = json.dumps(CHAT | {"model": model}).encode()
        served = await answered_inside(http.app, key.id, "http://here", "/v1/chat/completions", body)
        return served.status, json.loads(served.body)

    status, answer = await ask("base")
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "y")
    status, answer = await ask(ADAPTER)
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    api_keys.revoke(key.id)
    status, answer = await ask("base")
    assert (status, answer["error"]["code"]) == (401, "unauthorized")


async def test_an_answer_of_a_batch_costs_its_share_of_the_price(http: TestClient, behind: Behind) -> None:
    priced = behind.deployments.arguments.model_copy(update={"prices": {"all": TokenPrice(prompt=2e6, completion=6e6)}})
    object.__setattr__(behind.deployments, "arguments", priced)
    body = CHAT | {"model": "base"}
    served = await answered_inside(http.app, None, "http://here", "/v1/chat/completions", json.dumps(body).encode())
    assert json.loads(served.body)["plait"]["cost"] == 4.0
    assert http.post("/v1/chat/completions", json=body).json()["plait"]["cost"] == 8.0


def test_a_file_is_deleted_where_nothing_is_indexed(ai: openai.OpenAI, behind: Behind) -> None:
    object.__setattr__(behind.deployments, "indexer", None)
    file_id = sent(ai)
    assert ai.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError):
        ai.files.retrieve(file_id)
