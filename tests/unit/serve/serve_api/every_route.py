"""One request that is answered for each route of the API, and stand-ins behind it that note what reached them.

Everything named is of one owner: the tenant `acme`, the collection `docs`, the adapter `support`, and a file that was
sent for these. What only its owner may see holds the word CANARY.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
from described import description
from fastapi.testclient import TestClient

from plait import api_keys
from plait.client_jobs.batches import BATCHES, Batch
from plait.client_jobs.tuning import TUNING_JOBS, EventLog, TuningEvent, TuningJob
from plait.documents.uploads import attachments, made_collections, multipart, uploaded_files
from plait.documents.uploads.reach import Reach
from plait.errors import CollectionNotFound, ModelNotFound, NotFound
from plait.index.collection import Index
from plait.index.passage import Passage
from plait.index.stores.memory import MemoryStore
from plait.lineage.node import LineageNode
from plait.model_ids import AdapterRef
from plait.models.long_texts import LongTexts
from plait.models.reranking import check_uncut
from plait.retrieval.request import Retrieval
from plait.scope import Scope
from plait.serve.adapters.lifecycle import AdapterLifecycle
from plait.serve.adapters.report import ReplicaAdapters
from plait.serve.api.caller import Caller
from plait.serve.api.responses.objects import Response
from plait.serve.api.responses.requests import ResponseRequest
from plait.serve.api.responses.storage import ResponseStorage, StoredResponse, new_response_id
from plait.serve.api.reviews import Reviews
from plait.serve.api.services import Deployments
from plait.serve.deployments.indexer import Indexer
from plait.serve.messages.arguments import (
    AnswerArguments,
    AppArguments,
    BatchArguments,
    FineTuningArguments,
    ResponseArguments,
    RetrievalArguments,
)
from plait.serve.messages.calls import Call, Collection, Event, Retrieved, TokenizerInfo, Tokens
from plait.serve.messages.embeddings import Embedded
from plait.serve.messages.protocol import ModelCard

TENANT, COLLECTION, ADAPTER, BATCH, PASSAGE = "acme", "docs", "support", "vsfb_1", "c1"
CANARY = "canary"
FILE, PART = "the id of the file", "the id of the part"
OWNER = Reach(tenant=TENANT, collections=(COLLECTION,))
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
MESSAGES = CHAT | {"max_tokens": 9}
WHERE = {"collection": COLLECTION, "tenant": TENANT}
STORE = "/v1/vector_stores/{store_id}"

Route = tuple[str, str]
ROUTES: list[Route] = [(method.upper(), path) for path, methods in description()["paths"].items() for method in methods]


@dataclass(frozen=True)
class Ask:
    """A request that its owner gets answered.

    `scopes`: one of them is needed; none for everybody. `names`: what it needs, and the status for a key that is bound
    to another: 200 where the answer leaves out what is not for the key.
    """

    method: str
    path: str
    scopes: frozenset[Scope]
    json: Any = None
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def route(self) -> Route:
        return self.method, self.path

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.json or ''}"


_OTHERS, _UNKNOWN, _LEFT_OUT = 403, 404, 200
_IN_COLLECTION = {"collection": _OTHERS, "file": _UNKNOWN}
_A_MADE_ONE = {"any collection": _OTHERS, "tenant": _UNKNOWN}  # which no key is bound to
_INFER: list[tuple[str, str, Any, Mapping[str, int]]] = [
    ("GET", "/v1/models", None, {"adapter": _LEFT_OUT}),
    ("GET", "/v1/models/{model_id}", None, {"adapter": _UNKNOWN}),
    ("POST", "/v1/chat/completions", CHAT | {"model": "base"}, {}),
    ("POST", "/v1/chat/completions", CHAT | {"model": ADAPTER}, {"adapter": _OTHERS}),
    ("POST", "/v1/chat/completions", CHAT | {"model": f"{ADAPTER}:1", "stream": True}, {"adapter": _OTHERS}),
    (
        "POST",
        "/v1/chat/completions",
        CHAT | {"model": f"rag/{ADAPTER}@champion", "retrieval": WHERE},
        {"adapter": _OTHERS, "collection": _OTHERS, "tenant": _OTHERS},
    ),
    ("POST", "/v1/completions", {"model": ADAPTER, "prompt": "x"}, {"adapter": _OTHERS}),
    ("POST", "/v1/responses", {"model": ADAPTER, "input": "x"}, {"adapter": _OTHERS}),
    (
        "POST",
        "/v1/responses",
        {"model": "base", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": [COLLECTION]}]},
        {"collection": _OTHERS},
    ),
    ("GET", "/v1/responses/{response_id}", None, {}),
    ("GET", "/v1/responses/{response_id}/input_items", None, {}),
    ("POST", "/v1/responses/{response_id}/cancel", None, {}),
    ("DELETE", "/v1/responses/{response_id}", None, {}),
    ("POST", "/v1/messages", MESSAGES | {"model": ADAPTER}, {"adapter": _OTHERS}),
    (
        "POST",
        "/v1/messages",
        MESSAGES | {"model": f"rag/{ADAPTER}", "retrieval": WHERE, "stream": True},
        {"adapter": _OTHERS, "collection": _OTHERS, "tenant": _OTHERS},
    ),
    ("POST", "/v1/messages/count_tokens", CHAT | {"model": "base"}, {}),
    ("POST", "/v1/retrieve", {"query": "x"} | WHERE, {"collection": _OTHERS, "tenant": _OTHERS}),
    (
        "POST",
        "/v1/rag/query",
        {"query": "x", "model": ADAPTER, "retrieval": WHERE},
        {"adapter": _OTHERS, "collection": _OTHERS, "tenant": _OTHERS},
    ),
    ("POST", "/v1/embeddings", {"model": "embedding", "input": "x"}, {}),
    ("POST", "/v1/rerank", {"model": "reranker", "query": "x", "documents": ["x"]}, {}),
    ("POST", "/v2/rerank", {"model": "reranker", "query": "x", "documents": ["x"]}, {}),
    ("POST", "/v1/score", {"model": "reranker", "text_1": "x", "text_2": ["x"]}, {}),
    ("POST", "/v1/tokenize", {"prompt": "x"}, {}),
    ("POST", "/v1/detokenize", {"tokens": [97]}, {}),
    ("GET", "/v1/tokenizer_info", None, {}),
    ("POST", "/v1/feedback", {"request_id": "r-1", "rating": "up"}, {}),
]
_FINDING: list[tuple[str, str, Any, Mapping[str, int]]] = [
    ("GET", "/v1/vector_stores", None, {"collection": _LEFT_OUT}),
    ("GET", STORE, None, {"collection": _OTHERS}),
    ("POST", f"{STORE}/search", {"query": "x"}, {"collection": _OTHERS}),
    ("GET", f"{STORE}/passages/{{passage_id}}", None, {"collection": _OTHERS, "tenant": _UNKNOWN}),
    ("GET", "/v1/lineage/{id}", None, {"collection": _UNKNOWN}),
]
_DOCUMENTS: list[tuple[str, str, Any, Mapping[str, int]]] = [
    ("POST", "/v1/files", None, {}),
    ("GET", "/v1/files", None, {"file": _LEFT_OUT}),
    ("GET", "/v1/files/{file_id}", None, {"file": _UNKNOWN}),
    ("GET", "/v1/files/{file_id}/content", None, {"file": _UNKNOWN}),
    ("DELETE", "/v1/files/{file_id}", None, {"file": _UNKNOWN}),
    ("POST", "/v1/uploads", {"filename": "a.md", "purpose": "assistants", "bytes": 4}, {}),
    ("POST", "/v1/uploads/{upload_id}/parts", None, {"file": _UNKNOWN}),
    ("POST", "/v1/uploads/{upload_id}/complete", {"part_ids": [PART]}, {"file": _UNKNOWN}),
    ("POST", "/v1/uploads/{upload_id}/cancel", None, {"file": _UNKNOWN}),
    ("POST", "/v1/vector_stores", {"name": "x"}, {"any collection": _OTHERS}),
    ("POST", STORE, {"name": "x"}, _A_MADE_ONE),
    ("DELETE", STORE, None, _A_MADE_ONE),
    ("POST", f"{STORE}/files", {"file_id": FILE}, _IN_COLLECTION),
    ("GET", f"{STORE}/files", None, {"collection": _OTHERS, "file": _LEFT_OUT}),
    ("GET", f"{STORE}/files/{{file_id}}", None, _IN_COLLECTION),
    ("POST", f"{STORE}/files/{{file_id}}", {"attributes": {"mark": CANARY}}, _IN_COLLECTION),
    ("GET", f"{STORE}/files/{{file_id}}/content", None, _IN_COLLECTION),
    ("DELETE", f"{STORE}/files/{{file_id}}", None, _IN_COLLECTION),
    ("POST", f"{STORE}/file_batches", {"file_ids": [FILE]}, _IN_COLLECTION),
    ("GET", f"{STORE}/file_batches/{{batch_id}}", None, _IN_COLLECTION),
    ("POST", f"{STORE}/file_batches/{{batch_id}}/cancel", None, _IN_COLLECTION),
    ("GET", f"{STORE}/file_batches/{{batch_id}}/files", None, _IN_COLLECTION),
]
_ORDER, _BATCH = "/v1/fine_tuning/jobs/{job_id}", "/v1/batches/{batch_id}"
_JOBS: list[tuple[str, str, Any, Mapping[str, int]]] = [
    ("POST", "/v1/fine_tuning/jobs", {"model": "base", "training_file": FILE}, {"file": _UNKNOWN}),
    ("POST", "/v1/fine_tuning/jobs", {"model": ADAPTER, "training_file": FILE}, {"adapter": _OTHERS, "file": _UNKNOWN}),
    ("GET", "/v1/fine_tuning/jobs", None, {"file": _LEFT_OUT}),
    ("GET", _ORDER, None, {"file": _UNKNOWN}),
    ("POST", f"{_ORDER}/cancel", None, {"file": _UNKNOWN}),
    ("GET", f"{_ORDER}/events", None, {"file": _UNKNOWN}),
    ("GET", f"{_ORDER}/checkpoints", None, {"file": _UNKNOWN}),
    ("POST", "/v1/batches", {"input_file_id": FILE, "endpoint": "/v1/embeddings"}, {"file": _UNKNOWN}),
    ("GET", "/v1/batches", None, {"file": _LEFT_OUT}),
    ("GET", _BATCH, None, {"file": _UNKNOWN}),
    ("POST", f"{_BATCH}/cancel", None, {"file": _UNKNOWN}),
]
_PURPOSES = {"/v1/fine_tuning/jobs": "fine-tune", "/v1/batches": "batch"}
_ADMIN: list[tuple[str, str, Any]] = [
    ("POST", "/v1/load_lora_adapter", {"lora_name": ADAPTER, "lora_path": "/store/support"}),
    ("POST", "/v1/unload_lora_adapter", {"lora_name": ADAPTER}),
    ("GET", "/v1/adapters", None),
    ("POST", "/v1/adapters/{name}/pin", None),
    ("POST", "/v1/adapters/{name}/unpin", None),
]
ASKED = [
    *(Ask("GET", path, frozenset()) for path in ("/healthz", "/readyz", "/health", "/version")),
    *(Ask(method, path, frozenset({Scope.INFER}), json, names) for method, path, json, names in _INFER),
    *(Ask(*ask[:2], frozenset({Scope.INFER, Scope.DOCUMENTS}), *ask[2:]) for ask in _FINDING),
    *(Ask(method, path, frozenset({Scope.DOCUMENTS}), json, names) for method, path, json, names in _DOCUMENTS),
    *(Ask(method, path, frozenset({Scope.JOBS}), json, names) for method, path, json, names in _JOBS),
    *(Ask(method, path, frozenset({Scope.ADMIN}), json) for method, path, json in _ADMIN),
]


class _Method:
    """A method of a deployment."""

    def __init__(self, name: str, answer: Any, asked: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._name, self._answer, self._asked = name, answer, asked

    def remote(self, *arguments: Any) -> Any:
        self._asked.append((self._name, arguments))
        answer = self._answer(*arguments) if callable(self._answer) else self._answer
        return answer if hasattr(answer, "__aiter__") or asyncio.iscoroutine(answer) else _now(answer)


async def _now(answer: Any) -> Any:
    return answer


def _adapter_lineage(ref: AdapterRef) -> LineageNode:
    if ref.name != ADAPTER:
        raise ModelNotFound(f"There is no adapter '{ref.name}'.")
    return LineageNode("adapter", f"{ADAPTER}:1")


def _check_model(model: str, served: str) -> None:
    if model != served:
        raise ModelNotFound(f"There is no model '{model}'.")


def _check_collection(name: str | None) -> None:
    if name not in (None, COLLECTION) and made_collections.find(str(name)) is None:
        raise CollectionNotFound(f"There is no collection '{name}' here.")


def _collection(name: str, tenant: str | None = None) -> Collection:
    _check_collection(name)
    return Collection(name, CANARY, 4, 1, tenant or "default")


def _embedded(texts: list[str], input_type: str, model: str, long_texts: LongTexts | None) -> Embedded:
    _check_model(model, "embedding")
    return Embedded(np.ones((len(texts), 4), np.float32), tokens=1)


def _scored(query: str, documents: list[str], model: str) -> list[float]:
    _check_model(model, "reranker")
    return [0.5] * len(documents)


def _check_uncut(documents: list[str], limit_tokens: int) -> None:
    check_uncut([len(document) for document in documents], limit_tokens, reads_tokens=512)


def _retrieved(asked: Retrieval) -> Retrieved:
    for name in asked.named:
        _check_collection(name)
    return Retrieved((), (COLLECTION,), asked, {"total": 1.0}, "answered")


def _passage(collection: str, chunk_id: str, tenant: str | None) -> Passage:
    _check_collection(collection)
    if chunk_id != PASSAGE or tenant not in (None, TENANT):
        raise NotFound("There is no such passage.")
    return Passage(chunk_id, f"{CANARY}.md", "", "", "text", 0, 4, 0.0)


async def _generated(call: Call) -> AsyncGenerator[Event]:
    yield Event("y", 1, 1, "stop", "base")


class IdleIndexer(Indexer):
    """Takes files in and never gets to them. It has an index in memory, which no document gets into."""

    def __init__(self) -> None:
        store = MemoryStore()
        Index.open_or_create(COLLECTION, store, embedding_model="package:embedder", dimension=4)
        embedder: Any = SimpleNamespace(reads_tokens=_Method("reads_tokens", 256, []))
        self._start(RetrievalArguments(collection=COLLECTION), store, embedder)


class Behind:
    """The deployments, each of whose methods answers at once. `asked`: what reached them, with its arguments.

    `indexer`: None for an idle one.
    """

    def __init__(self, indexer: Indexer | None = None) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        indexer = indexer or IdleIndexer()
        cards = [ModelCard(id="base", created=0, root="r"), ModelCard(id=ADAPTER, created=0, root=f"/{CANARY}")]
        self.llm = self._handle(
            is_ready=True,
            models=cards,
            tokenize=Tokens((97,), 512),
            detokenize="a",
            tokenizer_info=TokenizerInfo("Bytes", None, "<eos>", None, None, None),
            load_adapter=None,
            unload_adapter=None,
            pin_adapter=None,
            adapter_lineage=_adapter_lineage,
        )
        self.llm.options = lambda **_: self._handle(generate=_generated)
        self.llm.broadcast = lambda _: SimpleNamespace(results_async=self._reports)
        retriever = self._handle(
            is_ready=True,
            retrieve=lambda question, asked, _: _retrieved(asked),
            passage=_passage,
            collection=_collection,
            lineage=lambda name, tenant, documents: LineageNode("collection", name, {"documents": CANARY}),
            document=[Passage(PASSAGE, f"{CANARY}.md", "", "", CANARY, 0, 6, 0.0)],
        )
        embedder = self._handle(
            is_ready=True,
            model_source="package:embedder",
            embed=_embedded,
            rerank=_scored,
            count_tokens=lambda texts: [len(text) for text in texts],
            check_uncut=_check_uncut,
        )
        takes_files = self._handle(
            is_ready=True,
            attach=indexer.attach,
            attachment=indexer.attachment,
            attached=indexer.attached,
            detach=indexer.detach,
            detach_and_delete=indexer.detach_and_delete,
            cancel=indexer.cancel,
            make_collection=indexer.make_collection,
            drop_collection=indexer.drop_collection,
        )
        arguments = AppArguments(
            retrieval=RetrievalArguments(collection=COLLECTION),
            default_max_tokens=16,
            answers=AnswerArguments(keep="all"),
            fine_tuning=FineTuningArguments(enabled=True),
            batches=BatchArguments(enabled=True),
        )
        # It is asked to keep ratings, and is sent no answers: they would come after the requests that were answered.
        reviews = Reviews(self._handle(rate=None), AppArguments())  # type: ignore[arg-type]
        runner = self._handle(is_ready=True, wake=None)
        self.deployments = Deployments(self.llm, retriever, embedder, None, takes_files, arguments, reviews, runner)

    def load_adapters_by(self, lifecycle: AdapterLifecycle) -> None:
        """Let adapters be loaded, unloaded and pinned by the real thing."""
        methods = self._handle(load_adapter=lifecycle.load, unload_adapter=lifecycle.unload, pin_adapter=lifecycle.pin)
        vars(self.llm).update(vars(methods))

    def _handle(self, **methods: Any) -> SimpleNamespace:
        return SimpleNamespace(**{name: _Method(name, answer, self.asked) for name, answer in methods.items()})

    async def _reports(self, timeout_s: float) -> list[ReplicaAdapters]:
        self.asked.append(("adapters", ()))
        return []


def sent_file() -> str:
    """A file of the owner's; its id."""
    return uploaded_files.save(f"{CANARY}.md", "assistants", BytesIO(CANARY.encode()), OWNER).id


def attached_file() -> str:
    """A file of the owner's, in the collection for the tenant, and for the server's."""
    file_id = sent_file()
    for tenant in (TENANT, "default"):
        attachments.write(
            attachments.Attachment(
                file_id=file_id,
                collection=COLLECTION,
                tenant=tenant,
                created_at=1,
                attributes={"mark": CANARY},
                batch=BATCH,
            )
        )
    return file_id


def stored_response() -> str:
    """The id of a response that everybody has, as if each had asked for it and ended it."""
    request = ResponseRequest(model="base", input="x")
    response = Response(
        id=new_response_id(), created_at=1, status="cancelled", output=[], store=True, **request.repeated()
    )
    kept = StoredResponse([], response.model_dump(mode="json"))
    for asking in [
        Caller(frozenset({Scope.ADMIN})),
        Caller(frozenset({Scope.INFER})),
        *(Caller(key.scopes, key) for key in api_keys.all_keys() or ()),
    ]:
        ResponseStorage(ResponseArguments()).keep(asking.owner, kept)
    return response.id


def begun_upload(spare_bytes: int) -> tuple[str, str]:
    """An upload of the owner's, for so many bytes more than its one part has; the ids of both."""
    upload = multipart.begin(f"{CANARY}.md", "assistants", len(CANARY) + spare_bytes, OWNER)
    return upload.id, multipart.add_part(upload.id, BytesIO(CANARY.encode())).id


def ordered_jobs(file_id: str) -> tuple[str, str]:
    """The ids of a fine-tuning job and of a batch that the owner ordered."""
    common: dict[str, Any] = {"created_at": 1, "of": OWNER, "owner": "o", "metadata": {"mark": CANARY}}
    job = TuningJob(id=TUNING_JOBS.new_id(), name="ft-1", model="base", training_file=file_id, **common)
    batch = Batch(
        id=BATCHES.new_id(),
        key_id=None,
        base_url="http://here",
        endpoint="/v1/embeddings",
        input_file_id=file_id,
        expires_at=2,
        **common,
    )
    TUNING_JOBS.add(job, {})
    BATCHES.add(batch, {})
    EventLog(job.id).add([TuningEvent(id="ftevent-1", created_at=1, message=CANARY)])
    return job.id, batch.id


def made_store() -> str:
    """A collection that the owner made; its id."""
    made = made_collections.MadeCollection(
        id=made_collections.new_id(), name=CANARY, metadata={"mark": CANARY}, tenant=TENANT, created_at=1
    )
    made_collections.write(made)
    return made.id


def send(client: TestClient, ask: Ask, headers: Mapping[str, str], file_id: str = "") -> Any:
    """Ask, of a file; of an upload and a collection that are made for it, where there is the file."""
    is_there = any(file.id == file_id for file in uploaded_files.files())
    upload_id, part_id = ("upload_1", "part_1")
    if is_there and "{upload_id}" in ask.path:
        upload_id, part_id = begun_upload(spare_bytes=ask.path.endswith("/parts"))
    store_id = made_store() if is_there and ask.names is _A_MADE_ONE else COLLECTION
    job_id, batch_id = "job_1", BATCH
    if is_there and ask.path.startswith(("/v1/fine_tuning", "/v1/batches")):
        job_id, batch_id = ordered_jobs(file_id)
        file_id = uploaded_files.save("rows.jsonl", _PURPOSES.get(ask.path, "assistants"), BytesIO(b"{}"), OWNER).id
    path = ask.path.format(
        store_id=store_id,
        file_id=file_id,
        upload_id=upload_id,
        batch_id=batch_id,
        job_id=job_id,
        model_id=ADAPTER,
        name=ADAPTER,
        passage_id=PASSAGE,
        id=COLLECTION,
        response_id=stored_response() if "{response_id}" in ask.path else "",
    )
    form = {("POST", "/v1/files"): "file", ("POST", "/v1/uploads/{upload_id}/parts"): "data"}.get(ask.route)
    if form is not None:
        return client.post(path, files={form: ("new.md", b"x")}, headers=headers)
    body = with_ids(ask.json, {FILE: file_id, PART: part_id})
    return client.request(ask.method, path, json=body, headers=headers)


def with_ids(body: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(body, dict):
        return {key: with_ids(value, ids) for key, value in body.items()}
    if isinstance(body, list):
        return [with_ids(value, ids) for value in body]
    return ids.get(body, body) if isinstance(body, str) else body
