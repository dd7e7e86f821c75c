"""The router deployment: decides whether to retrieve first, and retrieves. The answer does not pass through it.

For now the client decides by the model id: `rag/…` retrieves, everything else does not. `auto`, which needs a policy
made from measurements, is refused with a sentence.
"""

import time
from dataclasses import replace

from ray.serve.handle import DeploymentHandle

from plait.errors import InvalidInput, ModelNotFound
from plait.serve.arguments import RetrievalArguments
from plait.serve.calls import Call, Tokens
from plait.serve.protocol import ModelCard
from plait.serve.request_log import log_expected_errors_in_one_line


class Router:
    """Makes calls ready for the LLM. `retriever` is None when the application serves without retrieval."""

    def __init__(
        self, llm: DeploymentHandle, retriever: DeploymentHandle | None, retrieval: RetrievalArguments | None
    ) -> None:
        log_expected_errors_in_one_line()
        self._llm, self._retriever, self._retrieval = llm, retriever, retrieval

    async def prepare(self, call: Call) -> tuple[Call, float]:
        """The call as the LLM gets it, with retrieved passages, and the milliseconds that they took.

        Raises:
            ModelNotFound: for `auto`, and for `rag/…` when nothing is indexed here.
            InvalidInput: for retrieval without a question to retrieve for.
        """
        if call.model.is_auto:
            raise ModelNotFound("'auto' has no routing policy yet.", "Ask for base, an adapter, or rag/ before either.")
        started = time.perf_counter()
        call = await self._with_passages(call)
        took_s = time.perf_counter() - started
        if call.deadline_s is not None:
            call = replace(call, deadline_s=max(0.0, call.deadline_s - took_s))
        return call, took_s * 1000

    async def _with_passages(self, call: Call) -> Call:
        if self._retriever is None or self._retrieval is None:
            raise ModelNotFound(f"'{call.model}' needs an index, and this application serves without retrieval.")
        questions = [m.content for m in call.messages or () if m.role == "user"]
        if not questions:
            raise InvalidInput(f"'{call.model}' needs a message of the user to retrieve for.")
        passages = await self._retriever.retrieve.remote(questions[-1], call.top_k or self._retrieval.top_k)
        return replace(call, passages=tuple(passages))

    async def models(self) -> list[ModelCard]:
        """Every model id that can be asked for."""
        cards: list[ModelCard] = await self._llm.models.remote()
        if self._retriever is None:
            return cards
        return cards + [card.model_copy(update={"id": f"rag/{card.id}", "parent": card.id}) for card in cards]

    async def tokenize(self, call: Call, add_special_tokens: bool) -> Tokens:
        """The tokens of a call's prompt, without passages."""
        tokens: Tokens = await self._llm.tokenize.remote(call, add_special_tokens)
        return tokens

    async def detokenize(self, tokens: list[int]) -> str:
        """The text of tokens."""
        text: str = await self._llm.detokenize.remote(tokens)
        return text

    async def is_ready(self) -> bool:
        """Answers when everything behind it answers."""
        await self._llm.is_ready.remote()
        if self._retriever is not None:
            await self._retriever.is_ready.remote()
        return True
