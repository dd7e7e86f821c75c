"""The embedder deployment: texts in, vectors out; requests that come together share a batch.

It holds the application's one embedding model: the retriever's questions, /v1/embeddings, and /v1/rerank where no
reranker is configured, which then is by the cosine of the vectors.
"""

import asyncio
from collections.abc import Sequence

import numpy as np
from ray import serve

from plait.errors import Conflict, ModelNotFound
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.models.embedding import Embedding, kind_of
from plait.models.encoders.load import embedding_of, load_embedding
from plait.models.late_interaction import late_interaction_scores
from plait.models.long_texts import LongTexts, read_texts
from plait.models.long_texts import joined as joined_pieces
from plait.models.reranking import check_uncut
from plait.models.vectors import VectorKind, Vectors
from plait.recipes import DEFAULT_EMBEDDING
from plait.retrieval.question import EmbeddedQuestions, joined, read_question
from plait.serve.deployments.fair_turns import cut, in_turns
from plait.serve.messages.arguments import EmbeddingArguments, RetrievalArguments
from plait.serve.messages.embeddings import Embedded, Input, InputType
from plait.serve.messages.request_log import log_expected_errors_in_one_line

_TEXTS_A_TURN = 128  # about a second on two cores, after which questions of others come in


class Embedder:
    """One embedding model: the one that is configured, else the collection's."""

    def __init__(self, arguments: EmbeddingArguments, retrieval: RetrievalArguments | None) -> None:
        log_expected_errors_in_one_line()
        self._follows_the_collection = arguments.model is None
        of_collection = _of_collection(retrieval)
        if of_collection is not None and arguments.model in (None, of_collection.model):
            self._model: Embedding = embedding_of(of_collection)
        else:
            self._model = load_embedding(arguments.model or DEFAULT_EMBEDDING)
        self._changing = asyncio.Lock()

    async def embed(
        self, inputs: Sequence[Input], input_type: InputType, model: str, long_texts: LongTexts
    ) -> Embedded:
        """Vectors of texts, or of texts in tokens.

        Raises:
            ModelNotFound: when it is asked for as another model.
            InvalidField: for a text that is longer than the model reads; for tokens that are not the model's.
        """
        if model not in ("embedding", self._model.name):
            raise ModelNotFound(
                f"There is no embedding model {model[:80]!r}.", f"Ask for embedding or {self._model.name}."
            )
        prompts = self._model.prompts
        prompt = prompts.query if input_type == "query" else prompts.passage
        read = await asyncio.to_thread(read_texts, self._model, inputs, prompt, long_texts)
        vectors = await self._embed([piece for text in read for piece in text.pieces], input_type)
        return Embedded(joined_pieces(read, vectors), sum(sum(text.tokens) for text in read))

    async def embed_passages(self, collection: VectorKind, texts: Sequence[str]) -> Vectors:
        """Vectors of the collection's kind, of texts to put into it; what is too long is cut.

        When the collection was rebuilt with another model, that is loaded in the place of the present one.

        Raises:
            Conflict: when the configuration says which model it is, and it is another.
        """
        await self._become(collection)
        return await self._embed(texts, "passage")

    async def embed_questions(self, collection: VectorKind, questions: Sequence[str]) -> EmbeddedQuestions:
        """Vectors of the collection's kind, of questions; of long ones the beginning and the end are read.

        Raises:
            Conflict: as `embed_passages`.
        """
        await self._become(collection)
        model = self._model
        read = await asyncio.to_thread(lambda: [read_question(model, question) for question in questions])
        vectors = await self._embed([part for question in read for part in question.parts], "query")
        return joined(read, vectors)

    async def embed_as(self, kind: VectorKind, questions: Sequence[str]) -> EmbeddedQuestions:
        """As `embed_questions`, by the model that is there, whichever collection it is of.

        Raises:
            Conflict: when that makes other vectors.
        """
        if kind != kind_of(self._model):
            raise Conflict(f"Questions are embedded by {kind_of(self._model)} here, not by {kind}.")
        return await self.embed_questions(kind, questions)

    async def _become(self, collection: VectorKind) -> None:
        async with self._changing:
            if collection != kind_of(self._model):
                await self._change_to(collection)

    async def _embed(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Vectors of texts, of which what is too long is cut."""
        readable = [cut(text, self._model.max_tokens) for text in texts]
        vectors = await in_turns(readable, _TEXTS_A_TURN, lambda part: self._embed_together((part, input_type)))
        return np.asarray(vectors, np.float32).reshape(len(texts), self._model.dimension)

    async def _change_to(self, kind: VectorKind) -> None:
        if not self._follows_the_collection and kind.model != self._model.name:
            raise Conflict(
                f"The collection was made with '{kind.model}', not with '{self._model.name}'.",
                "Leave embedding.model out: the collection's is served then.",
            )
        self._model = await asyncio.to_thread(embedding_of, kind)

    async def rerank(self, query: str, documents: Sequence[str], model: str) -> list[float]:
        """Cosines of the query and each document, -1 to 1.

        Raises:
            ModelNotFound: when it is asked for as another model.
        """
        if model not in ("reranker", "embedding", self._model.name):
            raise ModelNotFound(f"There is no reranker {model[:80]!r}.", f"Ask for reranker or {self._model.name}.")
        of_query, of_documents = await asyncio.gather(self._embed([query], "query"), self._embed(documents, "passage"))
        return [float(score) for score in of_documents @ of_query[0]]

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, as many as the model reads."""
        readable = [cut(text, self._model.max_tokens) for text in texts]
        count = self._model.count_tokens
        counts = await in_turns(readable, _TEXTS_A_TURN, lambda part: asyncio.to_thread(count, part))
        return [min(tokens, self._model.max_tokens) for tokens in counts]

    async def check_uncut(self, documents: Sequence[str], limit_tokens: int) -> None:
        """Whether no document is longer than a limit, or the model itself reads no more.

        Raises:
            InvalidInput: when one is longer.
        """
        readable = [cut(document, self._model.max_tokens) for document in documents]
        tokens = await asyncio.to_thread(self._model.count_tokens, readable)
        check_uncut(tokens, limit_tokens, self._model.max_tokens)

    async def late_interaction(self, query: str, documents: Sequence[str]) -> list[float]:
        """How well each document answers the query by the model's token vectors, -1 to 1."""
        query, *texts = [cut(text, self._model.max_tokens) for text in (query, *documents)]
        return await in_turns(
            texts,
            _TEXTS_A_TURN,
            lambda part: asyncio.to_thread(late_interaction_scores, self._model, query, part),
        )

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]  # ray ships no types
    async def _embed_together(self, requests: list[tuple[Sequence[str], InputType]]) -> list[Vectors]:
        """All texts of all requests at once: the model forms its batches by length."""
        vectors: list[Vectors] = [np.empty((0, self._model.dimension), np.float32)] * len(requests)
        for kind, encode in (("passage", self._model.encode_passages), ("query", self._model.encode_queries)):
            of_kind = [i for i, (_, input_type) in enumerate(requests) if input_type == kind]
            texts = [text for i in of_kind for text in requests[i][0]]
            ends = np.cumsum([len(requests[i][0]) for i in of_kind])[:-1]
            for i, part in zip(of_kind, np.split(await asyncio.to_thread(encode, texts), ends), strict=False):
                vectors[i] = part
        return vectors

    async def model_source(self) -> str:
        """Where the model is from."""
        return self._model.name

    async def reads_tokens(self) -> int:
        """The tokens of a text that the model reads."""
        return self._model.max_tokens

    async def is_ready(self) -> bool:
        """Answers when the model is loaded."""
        return True


def _of_collection(retrieval: RetrievalArguments | None) -> VectorKind | None:
    if retrieval is None:
        return None
    vectors: VectorKind = Index.open(retrieval.collection, connect_store()).vectors
    return vectors
