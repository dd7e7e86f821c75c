"""A request inside the torch engine: its tokens, its text, and the way back to its client's event loop."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from plait.engines.engine import FinishReason, GenerationDelta, GenerationRequest, TokenLogprob
from plait.engines.json_grammar import JsonGrammar
from plait.engines.sampling import Sampler
from plait.engines.text_stream import TextStream
from plait.engines.torch.scheduler import TokenSequence
from plait.engines.vocabulary import Vocabulary
from plait.model_ids import BASE
from plait.observability import metrics


class Outbox:
    """What a step has to say, handed to each event loop in one go: waking a loop for every row costs more than a step
    of a small model on a GPU."""

    def __init__(self) -> None:
        self._held: dict[asyncio.AbstractEventLoop, list[tuple[Row, GenerationDelta | BaseException]]] = {}

    def put(self, row: "Row", said: GenerationDelta | BaseException) -> None:
        self._held.setdefault(row.loop, []).append((row, said))

    def flush(self) -> None:
        held, self._held = self._held, {}
        for loop, all_said in held.items():
            try:
                loop.call_soon_threadsafe(_deliver, all_said)
            except RuntimeError:  # the clients' event loop is closed: nobody is there any more
                for row, _ in all_said:
                    row.is_cancelled = True


def _deliver(all_said: "list[tuple[Row, GenerationDelta | BaseException]]") -> None:
    for row, said in all_said:
        row.deltas.put_nowait(said)


class Row:
    """One request and its answer so far.

    Args:
        request: what was asked.
        prompt: the tokens of its prompt.
        outbox: of the engine, for what the row says.
        tokenizer: the base model's.
        vocabulary: its tokens.
        end_ids: tokens that end an answer.
        namespace: of the adapter's computed blocks; see `TokenSequence`.
        given: tokens that the adapter brings along (prefix tuning).
        grammar: of the JSON schema that the answer follows.

    Raises:
        InvalidInput: when `logit_bias` names a token that does not exist.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt: Sequence[int],
        outbox: Outbox,
        tokenizer: Any,
        vocabulary: Vocabulary,
        end_ids: frozenset[int],
        namespace: str = "",
        given: int = 0,
        grammar: JsonGrammar | None = None,
    ) -> None:
        self.request, self._outbox = request, outbox
        self.prompt_tokens = len(prompt)
        # What an adapter gives stands at the first positions; which tokens stand for it does not matter.
        shared_within = f"{namespace}\0{request.cache_salt}"
        self.sequence = TokenSequence([0] * given + list(prompt), shared_within, given)
        self.sampler = Sampler(request.sampling, prompt, vocabulary, grammar)
        self.is_cancelled = False
        self.deltas: asyncio.Queue[GenerationDelta | BaseException] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self._text = TextStream(tokenizer, request.sampling.stop)
        self._end_ids = frozenset() if request.sampling.ignore_eos else end_ids
        self._generated = self._sent = 0
        self._unsent = ""
        self._logprobs: list[TokenLogprob] = []  # of tokens whose text is not certain yet
        self._arrived = time.monotonic()
        self._started: float | None = None

    def start(self) -> None:
        """Tell that a step is about to run."""
        if self._started is None:
            self._started = time.monotonic()
            metrics.PREFIX_QUERIES.labels(BASE).inc(self.prompt_tokens)
            metrics.PREFIX_HITS.labels(BASE).inc(self._cached_tokens)

    @property
    def _cached_tokens(self) -> int:
        return max(0, (self.sequence.reused or 0) - self.sequence.given)

    @property
    def is_late(self) -> bool:
        """Whether its deadline has passed."""
        limit = self.request.deadline_s
        return limit is not None and time.monotonic() - self._arrived >= limit

    def push(self, token: int) -> bool:
        """Take the next token; says whether the answer goes on.

        Raises:
            InvalidInput: when the answer cannot go on by its JSON schema.
        """
        self.sequence.tokens.append(token)
        self._generated += 1
        self.sampler.push(token)
        finish: FinishReason | None = None
        text = ""
        logprobs = self.sampler.take_logprobs()
        if token in self._end_ids:
            finish = "stop"  # the token is no text: it has no logprob among those of the text
        else:
            self._logprobs += logprobs
            text = self._text.push(token)
            if self._text.is_stopped or self.sampler.is_complete:
                finish = "stop"
            elif self._generated >= self.request.sampling.max_tokens:
                finish = "length"
        self._unsent += text
        if finish or self._generated == 1 or self._generated - self._sent >= self.request.stream_interval:
            self._outbox.put(self, self._delta(finish))
        return finish is None

    def expire(self) -> None:
        """End the answer with what there is."""
        self._outbox.put(self, self._delta("deadline"))

    def fail(self, error: BaseException) -> None:
        self._outbox.put(self, error)

    def _delta(self, finish: FinishReason | None) -> GenerationDelta:
        text, self._unsent, self._sent = self._unsent, "", self._generated
        if finish:
            text += self._text.end()
        logprobs: tuple[TokenLogprob, ...] = ()
        if text or finish:
            logprobs, self._logprobs = tuple(self._logprobs), []
        return GenerationDelta(
            text=text,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self._generated,
            finish_reason=finish,
            cached_tokens=self._cached_tokens,
            queue_s=(self._started or time.monotonic()) - self._arrived,
            logprobs=logprobs,
        )
