"""A request inside the torch engine: its tokens, its text, and the way back to its client's event loop."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from plait.engines.bad_words import BadWords
from plait.engines.engine import FinishReason, GenerationDelta, GenerationRequest, TokenLogprob
from plait.engines.grammar import Grammar
from plait.engines.prompts import Prompt
from plait.engines.sampling import Sampler
from plait.engines.text_stream import TextStream
from plait.engines.torch.prompt_logprobs import PromptLogprobs
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
        prompt: its prompt, as the model reads it.
        outbox: of the engine, for what the row says.
        tokenizer: the base model's.
        vocabulary: its tokens.
        end_ids: tokens that end an answer.
        namespace: of the adapter's computed blocks; see `TokenSequence`.
        given: tokens that the adapter brings along (prefix tuning).
        grammar: of the constraint that the answer follows.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt: Prompt,
        outbox: Outbox,
        tokenizer: Any,
        vocabulary: Vocabulary,
        end_ids: frozenset[int],
        namespace: str = "",
        given: int = 0,
        grammar: Grammar | None = None,
    ) -> None:
        self.request, self._outbox, self._prompt, self._vocabulary = request, outbox, prompt, vocabulary
        self.prompt_tokens = len(prompt.tokens)
        asked = request.sampling
        # What an adapter gives stands at the first positions; which tokens stand for it does not matter.
        shared_within = f"{namespace}\0{request.cache_salt}"
        self.sequence = TokenSequence([0] * given + prompt.tokens, shared_within, given)
        self._prompt_logprobs: PromptLogprobs | None = None
        if asked.prompt_logprobs is not None:
            self._prompt_logprobs = PromptLogprobs(prompt, given, asked.prompt_logprobs, vocabulary)
            self.sequence.needed_from = self._prompt_logprobs.needed_from
        bad_words = None
        if asked.bad_words:
            bad_words = BadWords(asked.bad_words, lambda text: tokenizer.encode(text, add_special_tokens=False))
        ends = end_ids.union(asked.stop_token_ids)
        self.sampler = Sampler(asked, prompt.tokens, vocabulary, grammar, bad_words, ends)
        self.is_cancelled = False
        self.deltas: asyncio.Queue[GenerationDelta | BaseException] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self._text = TextStream(tokenizer, asked.stop, asked.include_stop_str_in_output, asked.skip_special_tokens)
        self._end_ids = frozenset(asked.stop_token_ids) if asked.ignore_eos else ends
        self._generated = self._sent = 0
        self._is_first = True
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

    @property
    def is_only_read(self) -> bool:
        """Whether no token is to follow the prompt."""
        return self.request.sampling.max_tokens == 0

    def read(self, start: int, hidden: Tensor, logits_of: Callable[[Tensor], Tensor]) -> bool:
        """Take the hidden states [t, d] from the position `start` on; says whether what comes of them is finite.

        May be called again with the same ones.
        """
        if self._prompt_logprobs is None:
            return True
        is_finite = self._prompt_logprobs.take(start, hidden, logits_of)
        self.sequence.needed_from = self._prompt_logprobs.needed_from
        return is_finite

    def push(self, token: int) -> bool:
        """Take the next token; says whether the answer goes on.

        Raises:
            InvalidInput: when the answer cannot go on by its constraint.
        """
        asked = self.request.sampling
        self.sequence.tokens.append(token)
        self._generated += 1
        self.sampler.push(token)
        finish: FinishReason | None = None
        text = ""
        is_end = token in self._end_ids
        if not is_end or asked.include_stop_str_in_output:
            text = self._text.push(token, may_stop=self._generated > asked.min_tokens)
        if is_end or self._text.is_stopped or self.sampler.is_complete:
            finish = "stop"
        elif self._generated >= asked.max_tokens:
            finish = "length"
        if asked.logprobs is not None:
            is_special = asked.skip_special_tokens and self._vocabulary.is_special(token)
            is_text = not is_special and (not is_end or asked.include_stop_str_in_output)
            self._logprobs += [replace(told, is_text=is_text) for told in self.sampler.take_logprobs()]
        self._unsent += text
        if finish or self._generated == 1 or self._generated - self._sent >= self.request.stream_interval:
            self._outbox.put(self, self.piece(finish))
        return finish is None

    def finish(self, reason: FinishReason) -> None:
        """End the answer with what there is."""
        self._outbox.put(self, self.piece(reason))

    def fail(self, error: BaseException) -> None:
        self._outbox.put(self, error)

    def piece(self, finish: FinishReason | None) -> GenerationDelta:
        """What has not been sent yet."""
        text, self._unsent, self._sent = self._unsent, "", self._generated
        if finish:
            text += self._text.end()
        logprobs: tuple[TokenLogprob, ...] = ()
        if text or finish:
            logprobs, self._logprobs = tuple(self._logprobs), []
        of_prompt, prompt_text = self._of_prompt() if self._is_first else ((), "")
        self._is_first = False
        return GenerationDelta(
            text=text,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self._generated,
            finish_reason=finish,
            cached_tokens=self._cached_tokens,
            queue_s=(self._started or time.monotonic()) - self._arrived,
            logprobs=logprobs,
            prompt_logprobs=of_prompt,
            prompt_text=prompt_text,
            stop_string=self._text.stop_string if finish else "",
        )

    def _of_prompt(self) -> tuple[tuple[TokenLogprob, ...], str]:
        """What the first piece says of the prompt: its log-probabilities and its text, where they are asked for."""
        told = self._prompt_logprobs.told if self._prompt_logprobs else []
        return tuple(told), self._prompt.text
