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
from fastapi.testclient import TestClient

from plait.documents.uploads import attachments, uploaded_files
from plait.documents.uploads.reach import Reach
from plait.errors import CollectionNotFound, ModelNotFound, NotFound
from plait.index.passage import Passage
from plait.models.reranking import check_uncut
from plait.recipes import DocumentLimits
from plait.retrieval.request import Retrieval
from plait.scope import Scope
from plait.serve.adapters.lifecycle import AdapterLifecycle
from plait.serve.adapters.report import ReplicaAdapters
from plait.serve.api.services import Deployments
from plait.serve.deployments.indexer import Indexer
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import RetrievalArguments
from plait.serve.messages.calls import Call, Collection, Event, Retrieved, Tokens
from plait.serve.messages.embeddings import Embedded
from plait.serve.messages.protocol import ModelCard

TENANT, COLLECTION, ADAPTER, BATCH, PASSAGE = "acme", "docs", "support", "vsfb_1", "c1"
CANARY = "canary"
FILE = "the id of the file"
OWNER = Reach(tenant=TENANT, collections=(COLLECTION,))
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
WHERE = {"collection": COLLECTION, "tenant": TENANT}
STORE = "/v1/vector_stores/{store_id}"

Route = tuple[str, str]
ROUTES: list[Route] = [
    (method.upper(), path) for path, methods in build_api().openapi()["paths"].items() for method in methods
]


@dataclass(frozen=True)
class Ask:
    """A request that its owner gets answered.

    `scope`: None for everybody. `names`: what it needs, and the status for a key that is bound to another: 200 where
    the answer leaves out what is not for the key.
    """

    method: str
    path: str
    scope: Scope | None
    json: Any = None
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def route(self) -> Route:
        return self.method, self.path

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.json or ''}"


_OTHERS, _UNKNOWN, _LEFT_OUT = 403, 404, 200
_IN_COLLECTION = {"collection": _OTHERS, "file": _UNKNOWN}
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
    ("POST", "/v1/tokenize", {"prompt": "x"}, {}),
    ("POST", "/v1/detokenize", {"tokens": [97]}, {}),
    ("GET", "/v1/vector_stores", None, {"collection": _LEFT_OUT}),
    ("GET", STORE, None, {"collection": _OTHERS}),
    ("POST", f"{STORE}/search", {"query": "x"}, {"collection": _OTHERS}),
    ("GET", f"{STORE}/passages/{{passage_id}}", None, {"collection": _OTHERS, "tenant": _UNKNOWN}),
]
_DOCUMENTS: list[tuple[str, str, Any, Mapping[str, int]]] = [
    ("POST", "/v1/files", None, {}),
    ("GET", "/v1/files", None, {"file": _LEFT_OUT}),
    ("GET", "/v1/files/{file_id}", None, {"file": _UNKNOWN}),
    ("GET", "/v1/files/{file_id}/content", None, {"file": _UNKNOWN}),
    ("DELETE", "/v1/files/{file_id}", None, {"file": _UNKNOWN}),
    ("POST", f"{STORE}/files", {"file_id": FILE}, _IN_COLLECTION),
    ("GET", f"{STORE}/files", None, {"collection": _OTHERS, "file": _LEFT_OUT}),
    ("GET", f"{STORE}/files/{{file_id}}", None, _IN_COLLECTION),
    ("DELETE", f"{STORE}/files/{{file_id}}", None, _IN_COLLECTION),
    ("POST", f"{STORE}/file_batches", {"file_ids": [FILE]}, _IN_COLLECTION),
    ("GET", f"{STORE}/file_batches/{{batch_id}}", None, _IN_COLLECTION),
    ("GET", f"{STORE}/file_batches/{{batch_id}}/files", None, _IN_COLLECTION),
]
_ADMIN: list[tuple[str, str, Any]] = [
    ("POST", "/v1/load_lora_adapter", {"lora_name": ADAPTER, "lora_path": "/store/support"}),
    ("POST", "/v1/unload_lora_adapter", {"lora_name": ADAPTER}),
    ("GET", "/v1/adapters", None),
    ("POST", "/v1/adapters/{name}/pin", None),
    ("POST", "/v1/adapters/{name}/unpin", None),
]
ASKED = [
    *(Ask("GET", path, None) for path in ("/healthz", "/readyz")),
    *(Ask(method, path, Scope.INFER, json, names) for method, path, json, names in _INFER),
    *(Ask(method, path, Scope.DOCUMENTS, json, names) for method, path, json, names in _DOCUMENTS),
    *(Ask(method, path, Scope.ADMIN, json) for method, path, json in _ADMIN),
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


def _check_model(model: str, served: str) -> None:
    if model != served:
        raise ModelNotFound(f"There is no model '{model}'.")


def _check_collection(name: str | None) -> None:
    if name not in (None, COLLECTION):
        raise CollectionNotFound(f"There is no collection '{name}' here.")


def _collection(name: str, tenant: str | None = None) -> Collection:
    _check_collection(name)
    return Collection(COLLECTION, CANARY, 4, 1)


def _embedded(texts: list[str], input_type: str, model: str) -> Embedded:
    _check_model(model, "embedding")
    return Embedded(np.ones((len(texts), 4), np.float32), tokens=1)


def _scored(query: str, documents: list[str], model: str) -> list[float]:
    _check_model(model, "reranker")
    return [0.5] * len(documents)


def _check_uncut(documents: list[str], limit_tokens: int) -> None:
    check_uncut([len(document) for document in documents], limit_tokens, reads_tokens=512)


def _retrieved(asked: Retrieval) -> Retrieved:
    _check_collection(asked.collection)
    return Retrieved((), COLLECTION, asked, {"total": 1.0}, "answered")


def _passage(collection: str, chunk_id: str, tenant: str | None) -> Passage:
    _check_collection(collection)
    if chunk_id != PASSAGE or tenant not in (None, TENANT):
        raise NotFound("There is no such passage.")
    return Passage(chunk_id, f"{CANARY}.md", "", "", "text", 0, 4, 0.0)


async def _generated(call: Call) -> AsyncGenerator[Event]:
    yield Event("y", 1, 1, "stop", "base")


class _IdleIndexer(Indexer):
    """Takes files in and never gets to them."""

    def __init__(self) -> None:
        self._collections, self._tenant = (COLLECTION,), "default"
        self._limits = DocumentLimits()
        self._start()

    def _delete(self, attachment: attachments.Attachment, source: str) -> None:
        pass


class Behind:
    """The deployments, each of whose methods answers at once. `asked`: what reached them, with its arguments."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        indexer = _IdleIndexer()
        cards = [ModelCard(id="base", created=0, root="r"), ModelCard(id=ADAPTER, created=0, root=f"/{CANARY}")]
        self.llm = self._handle(
            is_ready=True,
            models=cards,
            tokenize=Tokens((97,), 512),
            detokenize="a",
            load_adapter=None,
            unload_adapter=None,
            pin_adapter=None,
        )
        self.llm.options = lambda **_: self._handle(generate=_generated)
        self.llm.broadcast = lambda _: SimpleNamespace(results_async=self._reports)
        retriever = self._handle(
            is_ready=True,
            retrieve=lambda question, asked, _: _retrieved(asked),
            passage=_passage,
            collection=_collection,
        )
        embedder = self._handle(
            is_ready=True,
            model_source="package:embedder",
            embed=_embedded,
            rerank=_scored,
            check_uncut=_check_uncut,
        )
        takes_files = self._handle(
            is_ready=True,
            attach=indexer.attach,
            attachment=indexer.attachment,
            attached=indexer.attached,
            detach=indexer.detach,
            detach_and_delete=indexer.detach_and_delete,
        )
        self.deployments = Deployments(
            self.llm, retriever, embedder, None, takes_files, RetrievalArguments(collection=COLLECTION), 16, None, 72
        )

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


def send(client: TestClient, ask: Ask, headers: Mapping[str, str], file_id: str = "") -> Any:
    """Ask, of a file."""
    path = ask.path.format(
        store_id=COLLECTION, file_id=file_id, batch_id=BATCH, model_id=ADAPTER, name=ADAPTER, passage_id=PASSAGE
    )
    if ask.route == ("POST", "/v1/files"):
        return client.post(path, files={"file": ("new.md", b"text")}, headers=headers)
    return client.request(ask.method, path, json=with_file(ask.json, file_id), headers=headers)


def with_file(body: Any, file_id: str) -> Any:
    if isinstance(body, dict):
        return {key: with_file(value, file_id) for key, value in body.items()}
    if isinstance(body, list):
        return [with_file(value, file_id) for value in body]
    return file_id if body == FILE else body
