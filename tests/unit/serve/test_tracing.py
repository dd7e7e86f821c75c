"""Traces over real OTLP: one request is one tree, its id is everywhere, and nothing that was said is in it."""

import gzip
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from changed_settings import changed_settings
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.util._once import Once
from ray._common.formatters import JSONFormatter

from plait.errors import Overloaded
from plait.index.passage import Passage
from plait.index.search import Hit, Search
from plait.local.process import free_port
from plait.observability import tracing
from plait.retrieval.pipeline import RetrievalPipeline
from plait.serve.api.services import Deployments, deployments
from plait.serve.app import build
from plait.serve.deployments.index_states import IndexStates
from plait.serve.deployments.llm import LLM
from plait.serve.deployments.retriever import DeployedModels, Retriever
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments, RetrievalArguments
from plait.serve.messages.calls import Call, Event

QUESTION, PASSAGE, ANSWER = "who keeps the secret?", "the passage tells it", "the answer tells it"
CHAT: dict[str, Any] = {"model": "rag/base", "messages": [{"role": "user", "content": QUESTION}]}
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


# ------------------------------------------------------------ the deployments, in one process


class Handle:
    """A handle of Serve's to an object of this process: what goes through it is pickled, as between processes."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def options(self, **_: Any) -> "Handle":
        return self

    def __getattr__(self, method: str) -> Any:
        class Remote:
            @staticmethod
            def remote(*arguments: Any) -> Any:
                called = getattr(self._target, method)(*pickle.loads(pickle.dumps(arguments)))
                return Stream(called) if isinstance(called, AsyncIterator) else called

        return Remote


class Stream:
    def __init__(self, events: AsyncIterator[Any]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._events

    def cancel(self) -> None:
        pass


class Talker(LLM):
    """The deployment without its engine."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def _generate(self, call: Call) -> AsyncGenerator[Event]:
        if self.error is not None:
            raise self.error
        yield Event(ANSWER[:4], 7, 1, answered_by="base", passages=call.passages, queue_s=0.25)
        yield Event(ANSWER[4:], 7, 5, "stop", answered_by="base", queue_s=0.25)


class OneDocument:
    """An index."""

    name, vectors, generation_if_any = "docs", None, 1

    def in_step_at(self) -> None:
        return None

    def search(self, search: Search, texts: Sequence[str], vectors: None) -> list[list[Hit]]:
        return [[Hit(Passage("c1", "a.md", "a", "", PASSAGE, 0, 9, 1.0))] for _ in texts]


class Searcher(Retriever):
    """The deployment over one document."""

    def __init__(self) -> None:
        self._arguments = RetrievalArguments(collection="docs", mode="bm25", rerank="none", tenant="acme")
        self._indexes: Any = {"docs": OneDocument()}
        self._states = IndexStates()
        self._pipeline = RetrievalPipeline(DeployedModels(Handle(None), None))

    async def _find_together(self, asked: Any) -> Any:  # batches are made in replicas only
        (found,) = await Retriever._find_together.__wrapped__(self, [asked])
        return found


@pytest.fixture
def llm() -> Talker:
    return Talker()


@pytest.fixture
def client(llm: Talker) -> TestClient:
    arguments = RetrievalArguments(collection="docs", mode="bm25", rerank="none", tenant="acme")
    api = build_api()
    api.dependency_overrides[deployments] = lambda: Deployments(
        Handle(llm), Handle(Searcher()), arguments=AppArguments(retrieval=arguments)
    )
    return TestClient(api, raise_server_exceptions=False)


# ------------------------------------------------------------ the collector


class Collector:
    """Takes OTLP over HTTP and keeps the spans."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self.services: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    about = {a.key: a.value.string_value for a in resource.resource.attributes}
                    outer.services.add(about["service.name"])
                    outer._spans += [span for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Span]:
        """All that has arrived since the last call."""
        assert trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]
        taken, self._spans = self._spans, []
        return taken


@pytest.fixture
def no_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenTelemetry as in a fresh process, before and after; it can be configured only once else."""

    def reset() -> None:
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    reset()
    yield
    provider = trace.get_tracer_provider()
    if hasattr(provider, "shutdown"):
        provider.shutdown()
    reset()


@pytest.fixture
def collector(no_provider: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, and this process configured to export to it."""
    started = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.url)
    tracing.configure("test")
    yield started
    started.server.shutdown()
    started.server.server_close()


class Lines(logging.Handler):
    """The lines of the log, as they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []
        self.setFormatter(JSONFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(self.format(record))

    def of(self, event: str) -> dict[str, dict[str, Any]]:
        """Those of one kind of event, by who wrote them."""
        lines = map(json.loads, self.all)
        return {line["at"]: line for line in lines if line.get("event") == event}


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, log = Lines(), logging.getLogger("ray.serve")
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)


@pytest.fixture
def with_content() -> Iterator[None]:
    with changed_settings(log_content=True):
        yield


def attributes(span: Span) -> dict[str, Any]:
    found = {}
    for a in span.attributes:
        kind = a.value.WhichOneof("value") or ""
        value: Any = getattr(a.value, kind)
        found[a.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


# ------------------------------------------------------------ with a collector


def test_a_streamed_answer_from_documents_is_one_tree_whose_id_is_everywhere(
    client: TestClient, collector: Collector, lines: Lines
) -> None:
    response = client.post("/v1/chat/completions", json=CHAT | {"stream": True}, headers={"X-Request-Id": "job-7"})
    chunks = [json.loads(text[6:]) for text in response.text.split("\n\n") if text.startswith("data: {")]
    spans = {span.name: span for span in collector.spans()}

    parents = {"chat rag/base": None, "route": "chat rag/base", "retrieval docs": "route", "search": "retrieval docs"}
    parents["generate rag/base"] = "chat rag/base"
    assert set(spans) == set(parents)
    for name, parent in parents.items():
        assert spans[name].parent_span_id == (spans[parent].span_id if parent else b""), name
    assert {span.trace_id.hex() for span in spans.values()} == {response.headers["x-trace-id"]}
    assert chunks[-1]["plait"]["trace_id"] == response.headers["x-trace-id"]
    assert collector.services == {"plait-test"}

    root = attributes(spans["chat rag/base"])
    assert spans["chat rag/base"].kind == Span.SPAN_KIND_SERVER
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "rag/base",
        "gen_ai.response.model": "base",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "plait.tenant": "acme",
        "plait.request_id": "job-7",
    }
    assert root.items() >= expected.items()
    retrieval = attributes(spans["retrieval docs"])
    assert (retrieval["gen_ai.data_source.id"], retrieval["plait.retrieval.passages"]) == ("docs", 1)
    generation = spans["generate rag/base"]
    assert attributes(generation)["plait.queue_s"] == 0.25
    assert [event.name for event in generation.events] == ["first_token"]

    for where in ("ingress", "llm"):
        line = lines.of("generation")[where]
        assert (line["request_id"], line["tenant"], line["adapter"]) == ("job-7", "acme", None)
        assert line["trace_id"] == response.headers["x-trace-id"]
    retrieval_line, request_line = lines.of("retrieval")["retriever"], lines.of("request")["ingress"]
    assert (retrieval_line["tenant"], retrieval_line["passages"]) == ("acme", 1)
    assert (request_line["path"], request_line["status"], request_line["request_id"]) == (
        "/v1/chat/completions",
        200,
        "job-7",
    )
    assert retrieval_line["trace_id"] == request_line["trace_id"] == response.headers["x-trace-id"]


def test_the_trace_of_the_caller_goes_on(client: TestClient, collector: Collector) -> None:
    response = client.post("/v1/retrieve", json={"query": QUESTION}, headers={"traceparent": PARENT})
    spans = {span.name: span for span in collector.spans()}
    assert response.headers["x-trace-id"] == "ab" * 16
    assert set(spans) == {"POST /v1/retrieve", "retrieval docs", "search"}
    assert {span.trace_id.hex() for span in spans.values()} == {"ab" * 16}
    assert spans["POST /v1/retrieve"].parent_span_id.hex() == "cd" * 8

    client.post("/v1/retrieve", json={"query": QUESTION}, headers={"traceparent": PARENT[:-1] + "0"})
    assert collector.spans() == []  # the caller wants no recording


@pytest.mark.parametrize(
    "bad", ["", "x", f"00-{'0' * 32}-{'cd' * 8}-01", f"ff-{'ab' * 16}-{'cd' * 8}-01", PARENT + "x", PARENT + "-x"]
)
def test_a_traceparent_that_is_none_begins_a_new_trace(client: TestClient, collector: Collector, bad: str) -> None:
    response = client.post("/v1/retrieve", json={"query": QUESTION}, headers={"traceparent": bad})
    (root,) = [span for span in collector.spans() if not span.parent_span_id]
    assert response.headers["x-trace-id"] == root.trace_id.hex() != "ab" * 16


def test_an_error_is_named_in_every_span_that_it_passes(client: TestClient, llm: Talker, collector: Collector) -> None:
    llm.error = Overloaded(f"{QUESTION} is too much.")
    response = client.post("/v1/chat/completions", json=CHAT | {"model": "base"})
    assert (response.status_code, len(response.headers["x-trace-id"])) == (429, 32)
    spans = collector.spans()
    assert {span.name for span in spans} == {"chat base", "generate base"}
    assert {attributes(span)["error.type"] for span in spans} == {"overloaded"}
    assert all(span.status.code == span.status.STATUS_CODE_ERROR for span in spans)
    assert QUESTION not in str(spans)  # errors repeat what was sent


def test_an_error_of_a_route_that_generates_nothing_is_named_too(client: TestClient, collector: Collector) -> None:
    body = {"query": QUESTION, "rerank": "cross-encoder"}
    assert client.post("/v1/retrieve", json=body).status_code == 400
    spans = {span.name: attributes(span) for span in collector.spans()}
    assert spans["POST /v1/retrieve"]["error.type"] == "invalid_input"
    assert spans["POST /v1/retrieve"]["http.response.status_code"] == 400


def test_the_answer_to_a_bug_says_its_ids(client: TestClient, llm: Talker, collector: Collector) -> None:
    llm.error = RuntimeError(QUESTION)
    response = client.post("/v1/chat/completions", json=CHAT | {"model": "base"})
    spans = {span.name: attributes(span) for span in collector.spans()}
    assert (response.status_code, len(response.headers["x-request-id"])) == (500, 32)
    assert len(response.headers["x-trace-id"]) == 32
    assert spans["generate base"]["error.type"] == spans["chat base"]["error.type"] == "RuntimeError"
    assert QUESTION not in str(spans)


def test_a_path_that_is_none_does_not_name_a_span_and_probes_have_none(
    client: TestClient, collector: Collector
) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/no/such/path").status_code == 404
    assert [span.name for span in collector.spans()] == ["GET"]


# ------------------------------------------------------------ what was said


def test_nothing_that_was_said_is_in_logs_or_spans(client: TestClient, collector: Collector, lines: Lines) -> None:
    assert ANSWER in client.post("/v1/chat/completions", json=CHAT).text
    client.post("/v1/completions", json={"model": "base", "prompt": QUESTION})
    everything = str(collector.spans()) + "\n".join(lines.all)
    assert "chat rag/base" in everything
    assert '"at": "llm"' in everything
    for text in (QUESTION, PASSAGE, ANSWER):
        assert text not in everything


def test_what_was_said_is_there_when_it_is_wanted(
    client: TestClient, collector: Collector, lines: Lines, with_content: None
) -> None:
    client.post("/v1/chat/completions", json=CHAT | {"stream": True})
    spans = {span.name: attributes(span) for span in collector.spans()}
    for record in (spans["chat rag/base"], lines.of("generation")["ingress"]):
        (asked,), (answered,) = (json.loads(record[f"gen_ai.{way}.messages"]) for way in ("input", "output"))
        assert asked == {"role": "user", "parts": [{"type": "text", "content": QUESTION}]}
        assert answered == {"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}
    assert spans["retrieval docs"]["gen_ai.retrieval.query.text"] == QUESTION


# ------------------------------------------------------------ without a collector


def test_without_configuration_there_is_a_trace_id_and_no_span(
    client: TestClient, no_provider: None, lines: Lines
) -> None:
    tracing.configure("test")
    new = client.post("/v1/chat/completions", json=CHAT)
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert new.headers["x-trace-id"] == new.json()["plait"]["trace_id"] == lines.of("generation")["llm"]["trace_id"]
    assert int(new.headers["x-trace-id"], 16)
    zeros = client.post("/v1/chat/completions", json=CHAT, headers={"traceparent": f"00-{'0' * 32}-{'cd' * 8}-01"})
    assert int(zeros.headers["x-trace-id"], 16)
    given = client.post("/v1/chat/completions", json=CHAT, headers={"traceparent": PARENT})
    assert given.headers["x-trace-id"] == lines.of("generation")["llm"]["trace_id"] == "ab" * 16


def test_a_process_without_configuration_does_not_import_the_sdk() -> None:
    program = (
        "import sys; from plait.observability import tracing; tracing.configure('x');"
        "exec('with tracing.span(\"a\", \"\"): pass'); print([m for m in sys.modules if 'opentelemetry.sdk' in m])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "value"), [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "true")])
def test_the_standard_switches_are_obeyed(
    no_provider: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert tracing.is_configured()
    monkeypatch.setenv(name, value)
    assert not tracing.is_configured()


def test_a_dead_collector_costs_one_line_and_no_request_waits(
    client: TestClient,
    no_provider: None,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://127.0.0.1:{free_port()}/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    tracing.configure("test")
    started = time.perf_counter()
    for _ in range(20):  # 100 spans, of which the queue holds 8
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert time.perf_counter() - started < 5
    trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]
    assert len([line for line in lines.all if "collector" in line]) == 1
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_replicas_get_the_variables_of_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    ingress = build({})._bound_deployment
    environment = ingress.ray_actor_options["runtime_env"]["env_vars"]
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
