"""The HTTP side of serving without a cluster: what is refused, how errors look, what a stream holds."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, ReplicaUnavailableError

from plait.engines.engine import Sampling
from plait.errors import ModelNotFound, Overloaded, PlaitError, RecipeError
from plait.index.passage import Passage
from plait.model_ids import ModelId
from plait.models.message import Message
from plait.observability import metrics
from plait.observability.bounded_label import BoundedLabel
from plait.recipes.prices import TokenPrice
from plait.retrieval.request import Retrieval
from plait.serve.api.accounting import recorded
from plait.serve.api.answer import Answer, server_sent_events
from plait.serve.api.completion_requests import CompletionRequest
from plait.serve.api.errors import error_body, install
from plait.serve.api.generation_requests import ChatCompletionRequest
from plait.serve.app import build, parse
from plait.serve.deploy import read_config
from plait.serve.messages.arguments import AppArguments, PriceOf
from plait.serve.messages.calls import Call, Event, Retrieved
from plait.settings import settings

GONE = ActorUnavailableError("Actor is unavailable.", None)  # what Serve makes of a connection that ends
DEATHS: dict[str, Exception] = {
    "unavailable": GONE,
    "died": ActorDiedError(),
    "died-behind": RayTaskError("prepare", "a traceback", GONE).as_instanceof_cause(),
    "died-far-behind": RayTaskError(
        "generate", "a traceback", RayTaskError("prepare", "a traceback", ActorDiedError()).as_instanceof_cause()
    ).as_instanceof_cause(),
    "none-left": ReplicaUnavailableError("r1 is gone."),
    "reset": AioRpcError(StatusCode.UNAVAILABLE, Metadata(), Metadata(), "Socket closed"),
    "ended": AioRpcError(StatusCode.CANCELLED, Metadata(), Metadata(), "RST_STREAM"),
}
PASSAGE = Passage("c1", "ray.md", "ray", "", "ray 2.60.0", 3, 13, 0.87654, collection="docs")


def call(model: str = "base") -> Call:
    return Call(ModelId.parse(model), Sampling(max_tokens=8), (Message("user", "which version?"),))


def costing(price: TokenPrice | None) -> PriceOf:
    """The same price for every model id."""
    return lambda model: price


async def events(*items: Event | Exception) -> AsyncGenerator[tuple[int, Event]]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield 0, item


RETRIEVED = Retrieved((PASSAGE, PASSAGE), ("docs",), Retrieval(mode="bm25"), {"search": 10.01, "total": 12.34})
EVENTS = (
    Event(" ray", 7, 1, answered_by="support:3", passages=(PASSAGE,), retrieved=RETRIEVED),
    Event("", 7, 2, answered_by="support:3"),
    Event(" 2.60.0", 7, 3, "stop", answered_by="support:3"),
)


# ------------------------------------------------------------ errors


@pytest.fixture(scope="module")
def client() -> TestClient:
    api = FastAPI()
    install(api)

    @api.post("/v1/chat/completions")
    async def chat(body: ChatCompletionRequest) -> dict[str, Any]:
        return body.model_dump()

    @api.post("/v1/completions")
    async def complete(body: CompletionRequest) -> dict[str, Any]:
        return body.model_dump()

    @api.get("/fail/{kind}")
    async def fail(kind: str) -> None:
        missing = ModelNotFound("There is no adapter 'suport'.", "Did you mean 'support'?")
        errors: dict[str, Exception] = {
            "missing": missing,
            "wrapped": RayTaskError("answer", "a traceback", missing).as_instanceof_cause(),
            "full": Overloaded("9 requests are waiting already.", "Try again in a moment.", retry_after_s=2.2),
            "backpressure": BackPressureError(num_queued_requests=1, max_queued_requests=1),
            "bug": RuntimeError("a secret of the inside"),
            "folder": PlaitError(
                f"'{settings().root}/adapters/support/1' cannot be read ({sys.prefix}/lib/x.py), see {Path.home()}."
            ),
            "too-large": AioRpcError(StatusCode.RESOURCE_EXHAUSTED, Metadata(), Metadata(), "a secret of the inside"),
            **DEATHS,
        }
        raise errors[kind]

    return TestClient(api, raise_server_exceptions=False)


CHAT = {"model": "base", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"temprature": 1}, "temprature", "Did you mean 'temperature'"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"presence_penalty": 2.5}, "presence_penalty", "less than or equal to 2"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "less than or equal to 100"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "less than or equal to 20"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "'json_object'"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name", "pattern"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"stop": ["a" * 10_000, "b" * 10_000]}, "stop", "20000 bytes, at most 16384"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role", "'user'"),
        ({"retrieval": {"top_k": 0}}, "retrieval.top_k", "greater than or equal to 1"),
        ({"retrieval": {"k": 1}}, "retrieval.k", "not known"),
        ({"retrieval": {"mode": "sparse"}}, "retrieval.mode", "'hybrid'"),
        ({"retrieval": {"rerank": True}}, "retrieval.rerank", "'late-interaction'"),
        ({"retrieval": {"mmr": 1.5}}, "retrieval.mmr", "less than or equal to 1"),
        ({"retrieval": {"expand": 6}}, "retrieval.expand", "less than or equal to 5"),
    ],
)
def test_a_bad_field_is_named(client: TestClient, change: dict[str, Any], param: str, message: str) -> None:
    response = client.post("/v1/chat/completions", json=CHAT | change)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["type"], error["code"]) == (param, "invalid_request_error", "invalid_input")
    assert message in error["message"]
    assert f"'{param}'" in error["message"]


def test_a_missing_field_is_named(client: TestClient) -> None:
    response = client.post("/v1/completions", json={"model": "base"})
    assert response.json()["error"]["message"] == "The field 'prompt' is required."


def test_a_body_that_is_no_json_is_a_sentence(client: TestClient) -> None:
    response = client.post("/v1/completions", content='{"model":', headers={"content-type": "application/json"})
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["message"].startswith("The body is not valid JSON")
    assert error["param"] is None


def test_content_may_come_in_parts_and_developers_are_systems(client: TestClient) -> None:
    parts = {"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "short"}]}
    request = ChatCompletionRequest.model_validate(CHAT | {"messages": [parts]})
    assert request.messages[0].to_message() == Message("system", "be short")
    assert CompletionRequest(model="base", prompt="x", stop="\n").stop_strings == ("\n",)


@pytest.mark.parametrize("kind", ["missing", "wrapped"])
def test_an_error_is_the_same_sentence_through_ray_or_not(client: TestClient, kind: str) -> None:
    response = client.get(f"/fail/{kind}")
    assert response.status_code == 404
    assert response.json()["error"] == {
        "message": "There is no adapter 'suport'. Did you mean 'support'?",
        "type": "invalid_request_error",
        "code": "model_not_found",
        "param": None,
    }


def test_a_full_queue_says_when_to_come_back(client: TestClient) -> None:
    full, backpressure = client.get("/fail/full"), client.get("/fail/backpressure")
    assert (full.status_code, full.headers["retry-after"]) == (429, "3")
    assert full.json()["error"]["type"] == "rate_limit_error"
    assert (backpressure.status_code, backpressure.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize("kind", DEATHS)
def test_a_replicas_death_is_told_as_such_and_when_to_come_back(client: TestClient, kind: str) -> None:
    response = client.get(f"/fail/{kind}")
    error = response.json()["error"]
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert (error["type"], error["code"]) == ("server_error", "unavailable")
    assert "died" in error["message"]


@pytest.mark.parametrize("kind", ["bug", "too-large"])
def test_a_bug_tells_nothing_of_the_inside(client: TestClient, kind: str) -> None:
    response = client.get(f"/fail/{kind}")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["error"]["type"] == "server_error"


def test_an_error_names_no_folder_of_the_server(client: TestClient) -> None:
    message = client.get("/fail/folder").json()["error"]["message"]
    assert message == "'…/1' cannot be read (…/x.py), see …."
    assert str(settings().root) in error_body(PlaitError(f"{settings().root}/a is gone."), names_folders=True).message


@pytest.mark.parametrize("header", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_marked_as_json_is_told_the_header(client: TestClient, header: str | None) -> None:
    headers = {} if header is None else {"content-type": header}
    response = client.post("/v1/completions", content=b'{"model": "base", "prompt": "x"}', headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, None)
    assert error["message"] == "The body is not marked as JSON. Send the header Content-Type: application/json."
    assert client.post("/v1/completions").json()["error"]["message"] == "The request has no body. Send a JSON object."


def test_an_unknown_path_says_where_the_routes_are(client: TestClient) -> None:
    response = client.get("/v1/nothing")
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "There is no GET /v1/nothing here. GET /docs lists what there is."


# ------------------------------------------------------------ answers


async def stream_of(
    answer: Answer, source: AsyncGenerator[tuple[int, Event]], wants_usage: bool = False
) -> list[dict[str, Any]]:
    first = await anext(source)
    lines = [line async for line in server_sent_events(answer, first, source, wants_usage)]
    assert all(line.startswith("data: ") and line.endswith("\n\n") for line in lines)
    assert lines[-1] == "data: [DONE]\n\n"
    return [json.loads(line[6:]) for line in lines[:-1]]


def test_a_whole_answer_has_openais_shape_and_cites_its_passages() -> None:
    answer = Answer([call("rag/support")], is_chat=True)
    for event in EVENTS:
        answer.add(0, event)
    body = answer.whole().model_dump(exclude_unset=True)
    choice = body["choices"][0]
    assert (body["object"], body["model"], choice["finish_reason"]) == ("chat.completion", "rag/support", "stop")
    assert choice["message"]["content"] == "ray 2.60.0"
    (citation,) = choice["message"]["annotations"]
    assert (citation["source"], citation["start"], citation["end"], citation["score"]) == ("ray.md", 3, 13, 0.8765)
    assert body["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert (body["plait"]["route"], body["plait"]["model"]) == (
        {"kind": "rag", "arm": "rag/support"},
        "support:3",
    )
    assert body["plait"]["retrieval"] == {
        "collection": "docs",
        "mode": "bm25",
        "rerank": "none",
        "found": 2,
        "passages": 1,
        "truncated": False,
        "no_context": None,
    }
    timings_ms = body["plait"]["timings_ms"]
    assert (timings_ms["retrieval"], timings_ms["search"]) == (12.3, 10.0)
    assert timings_ms["generate"] == pytest.approx(timings_ms["total"] - 12.3, abs=0.11)


def test_an_answer_says_its_cost_where_there_is_a_price() -> None:
    costs = []
    for price in (None, TokenPrice(prompt=1000, completion=2000)):
        answer = Answer([call("rag/support")], is_chat=True, price_of=costing(price))
        for event in EVENTS:
            answer.add(0, event)
        costs.append(answer.details().cost)
    assert costs == [None, pytest.approx((7 * 1000 + 3 * 2000) / 1_000_000)]


def test_a_price_is_of_the_id_of_its_name_or_of_all() -> None:
    prices = {"all": 1, "support": 2, "support:3": 3, "rag/base": 4}
    arguments = AppArguments.model_validate(
        {"prices": {name: {"prompt": price, "completion": 0} for name, price in prices.items()}}
    )
    of = {
        id: arguments.price_of(ModelId.parse(id))
        for id in ("support:3", "support@x", "rag/support", "rag/base", "base")
    }
    assert {id: price.prompt for id, price in of.items() if price} == {
        "support:3": 3,
        "support@x": 2,
        "rag/support": 1,
        "rag/base": 4,
        "base": 1,
    }
    assert AppArguments().price_of(ModelId.parse("base")) is None


def test_a_completion_keeps_the_space_that_the_model_began_with() -> None:
    answer = Answer([call()], is_chat=False)
    assert [answer.add(0, event) for event in EVENTS] == [" ray", "", " 2.60.0"]
    assert answer.whole().model_dump()["choices"][0]["text"] == " ray 2.60.0"


async def test_a_stream_joins_to_the_whole_answer_and_ends_with_citations() -> None:
    chunks = await stream_of(Answer([call("rag/support")], is_chat=True), events(*EVENTS), wants_usage=True)
    *content, usage = chunks
    assert content[0]["choices"][0]["delta"] == {"content": "ray", "role": "assistant"}
    assert "".join(c["choices"][0]["delta"]["content"] for c in content) == "ray 2.60.0"
    assert len(content) == 2  # an event without text is not sent
    last = content[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["annotations"][0]["chunk_id"] == "c1"
    assert last["plait"]["model"] == "support:3"
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 10)
    assert len({c["id"] for c in chunks}) == 1


async def test_an_error_in_the_middle_of_a_stream_is_an_event_of_it() -> None:
    source = events(EVENTS[0], Overloaded("The replica went away."))
    *_, last = await stream_of(Answer([call()], is_chat=True), source, wants_usage=True)
    assert last == {
        "error": {
            "message": "The replica went away.",
            "type": "rate_limit_error",
            "code": "overloaded",
            "param": None,
        }
    }


async def test_a_replicas_death_in_the_middle_of_a_stream_is_an_event_with_its_code() -> None:
    *_, last = await stream_of(Answer([call()], is_chat=True), events(EVENTS[0], GONE))
    assert last["error"]["code"] == "unavailable"
    assert "died" in last["error"]["message"]


async def test_a_client_that_leaves_closes_what_makes_its_answer() -> None:
    source = events(*EVENTS)
    stream = server_sent_events(Answer([call()], is_chat=True), await anext(source), source, wants_usage=False)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    with pytest.raises(StopAsyncIteration):
        await anext(source)


def test_an_answer_cut_by_its_deadline_says_so() -> None:
    answer = Answer([call()], is_chat=True)
    answer.add(0, EVENTS[0])
    answer.add(0, replace(EVENTS[1], finish_reason="deadline"))
    body = answer.whole().model_dump()
    assert (body["choices"][0]["finish_reason"], body["plait"]["stopped_by"]) == ("length", "deadline")


# ------------------------------------------------------------ accounting


@pytest.fixture
def own_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of labels of their own: tests of the same process may have asked for more names than there may be."""
    for label in ("adapter_label", "model_label"):
        monkeypatch.setattr(metrics, label, BoundedLabel(50))


def counted(name: str, **labels: str) -> float:
    """A sample as the node's exporter would show it."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(settings().metrics_dir))
    return registry.get_sample_value(name, labels) or 0.0


async def outcome_of(source: AsyncGenerator[tuple[int, Event]], model: str) -> None:
    try:
        async for _ in recorded([call(model)], source):
            pass
    except PlaitError:
        pass


async def test_a_request_is_counted_with_its_tokens_by_model_and_adapter(own_labels: None) -> None:
    labels = {"model_name": "rag/counted:3", "adapter": "counted"}
    await outcome_of(events(*EVENTS), "rag/counted:3")
    assert counted("plait_requests_total", outcome="ok", **labels) == 1
    assert counted("vllm:prompt_tokens_total", **labels) == 7
    assert counted("vllm:generation_tokens_total", **labels) == 3
    assert counted("vllm:time_to_first_token_seconds_count", **labels) == 1
    assert counted("vllm:e2e_request_latency_seconds_count", **labels) == 1
    assert counted("vllm:request_queue_time_seconds_count", **labels) == 1
    assert counted("vllm:inter_token_latency_seconds_count", **labels) == 3 - 1
    assert counted("vllm:request_success_total", finished_reason="stop", **labels) == 1


async def test_tokens_of_every_prompt_and_choice_cost_their_price_whatever_came_of_the_request(
    own_labels: None,
) -> None:
    labels = {"model_name": "priced", "adapter": "priced"}
    ends = [(index, Event("x", 7 if index < 2 else 100, 3, "stop")) for index in range(4)]
    asked = [call("priced"), call("priced")]
    async for _ in recorded(
        asked, _as_they_are(ends), n=2, price_of=lambda _: TokenPrice(prompt=1000, completion=500_000)
    ):
        pass
    assert counted("vllm:prompt_tokens_total", **labels) == 107  # of two prompts, each with two answers
    assert counted("plait_answer_cost_total", **labels) == pytest.approx(0.107 + 6)
    left = recorded([call("priced")], events(*EVENTS), price_of=costing(TokenPrice(prompt=0, completion=1_000_000)))
    await anext(left)
    await left.aclose()
    assert counted("plait_answer_cost_total", **labels) == pytest.approx(0.107 + 6 + 1)


async def _as_they_are(indexed: list[tuple[int, Event]]) -> AsyncGenerator[tuple[int, Event]]:
    for each in indexed:
        yield each


async def test_an_answer_says_how_old_the_indexes_are_that_it_is_given_from(own_labels: None) -> None:
    now = time.time()
    found = Retrieved((), ("a", "b", "c"), Retrieval(), {}, in_step_at={"a": now - 7200, "b": now + 60})
    await outcome_of(events(Event("x", 1, 1, "stop", retrieved=found)), "rag/aged")
    ages = {
        name: counted("plait_answer_index_age_seconds_sum", model_name="rag/aged", collection=name) for name in "ab"
    }
    assert ages == {"a": pytest.approx(7200, abs=60), "b": 0.0}  # clocks of two machines differ
    assert counted("plait_answer_index_age_seconds_count", model_name="rag/aged", collection="c") == 0


async def test_a_request_that_fails_is_counted_under_its_code(own_labels: None) -> None:
    await outcome_of(events(Overloaded("full")), "failing")
    assert counted("plait_requests_total", model_name="failing", adapter="failing", outcome="overloaded") == 1


async def test_a_request_that_was_left_is_counted_as_cancelled_with_what_it_cost(own_labels: None) -> None:
    stream = recorded([call("left")], events(*EVENTS))
    await anext(stream)
    await stream.aclose()
    labels = {"model_name": "left", "adapter": "left"}
    assert counted("plait_requests_total", outcome="cancelled", **labels) == 1
    assert counted("vllm:generation_tokens_total", **labels) == 1

    async def never() -> AsyncGenerator[tuple[int, Event]]:
        await asyncio.sleep(60)
        yield 0, EVENTS[0]

    waiting = asyncio.create_task(outcome_of(never(), "left"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert counted("plait_requests_total", outcome="cancelled", model_name="unknown", adapter="") >= 1


async def test_names_that_anybody_may_invent_do_not_become_series(own_labels: None) -> None:
    await outcome_of(events(ModelNotFound("There is no adapter 'invented'.")), "invented")
    assert counted("plait_requests_total", model_name="invented", adapter="invented", outcome="model_not_found") == 0
    assert counted("plait_requests_total", model_name="unknown", adapter="", outcome="model_not_found") >= 1


# ------------------------------------------------------------ configuration


def deployments_of(application: Any) -> list[Any]:
    """The deployments of a bound application, through its arguments."""
    bound = application._bound_deployment
    nested = [argument for argument in bound.init_args if hasattr(argument, "_bound_deployment")]
    return [bound, *(found for inner in nested for found in deployments_of(inner))]


def test_the_ready_configuration_fits_beside_jobs_on_one_cpu_and_takes_overrides() -> None:
    config = read_config("local", ["retrieval.collection=docs", "llm.max_batch_size=2"])
    arguments = parse(config["applications"][0]["args"])
    assert arguments.retrieval is not None
    assert (arguments.llm.max_batch_size, arguments.retrieval.collection) == (2, "docs")
    application = build(config["applications"][0]["args"])
    reserved = {d.name: d.ray_actor_options["num_cpus"] for d in deployments_of(application)}
    assert set(reserved) == {"Ingress", "Retriever", "Embedder", "Indexer", "LLM", "RolloutController"}
    assert sum(reserved.values()) <= 1.0
    assert config["http_options"]["port"] == settings().http_port
    assert parse(read_config("local", ["retrieval=null"])["applications"][0]["args"]).retrieval is None


def test_a_configuration_of_the_users_own_keeps_its_address(tmp_path: Path) -> None:
    config = {
        "http_options": {"host": "0.0.0.0", "port": 1234},
        "applications": [
            {"name": "other", "import_path": "mine:app"},
            {"name": "plait", "import_path": "plait.serve.app:build", "args": {"default_max_tokens": 5}},
        ],
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(config))
    assert read_config(str(file), ["default_max_tokens=6"])["http_options"] == {"host": "0.0.0.0", "port": 1234}


@pytest.mark.parametrize("text", ["applications: []", "- a", "{", "applications: [{import_path: mine:app}]"])
def test_a_file_that_is_no_configuration_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=r"is no Serve configuration of Plait"):
        read_config(str(file), [])


def test_a_configuration_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"There is no Serve configuration 'locl'\. Did you mean 'local'\?"):
        read_config("locl", [])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"llm": {"modl": "x"}}, r"'llm.modl' is not known or not supported\. Did you mean 'llm.model'\?"),
        ({"lm": {}}, r"'lm' is not known or not supported\. Did you mean 'llm'\?"),
        ({"llm": {"max_batch_size": 0}}, r"'llm.max_batch_size' must be greater"),
        ({"retrieval": {"rerank": "cross-encoder"}}, r"cross-encoder needs rerank\.model"),
        ({"prices": {"rag/": {"prompt": 1, "completion": 1}}}, "there is a price of 'rag/': '' is no adapter name"),
        ({"prices": {"all": {"prompt": -1, "completion": 1}}}, r"'prices.all.prompt' must be greater"),
        ({"retrieval": {"topk": 3}}, r"'retrieval.topk' is not known .* Did you mean 'retrieval.top_k'"),
    ],
)
def test_a_bad_argument_of_the_application_is_named(args: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(args)
