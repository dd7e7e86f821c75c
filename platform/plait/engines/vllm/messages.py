"""What vLLM takes and gives, in the words of engines: sampling to its parameters, its outputs to an answer's pieces."""

import math
from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from plait.engines.engine import GenerationDelta, Sampling, TokenLogprob
from plait.engines.sampling import not_finite
from plait.engines.vocabulary import Vocabulary
from plait.errors import Unavailable


def sampling_params(sampling: Sampling, stream_interval: int) -> SamplingParams:
    """vLLM's parameters of a request that is answered in pieces of `stream_interval` tokens."""
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        stop=[stop for stop in sampling.stop if stop] or None,  # vLLM refuses an empty one
        seed=sampling.seed,
        logprobs=sampling.logprobs,
        ignore_eos=sampling.ignore_eos,
        structured_outputs=StructuredOutputsParams(json=sampling.json_schema) if sampling.json_schema else None,
        output_kind=RequestOutputKind.DELTA,
        stream_interval=stream_interval,
    )


def next_delta(output: Any, before: GenerationDelta, logprobs: int | None, vocabulary: Vocabulary) -> GenerationDelta:
    """The next piece of an answer, from vLLM's RequestOutput and the piece before, which has the counts so far.

    Raises:
        Unavailable: when vLLM gave the request up.
        NotFinite: when a log-probability is not a number: the logits were not.
    """
    (piece,) = output.outputs
    if piece.finish_reason not in (None, "stop", "length"):
        raise Unavailable(f"vLLM gave the request up ({piece.finish_reason}).", "Try again.")
    times = output.metrics
    return GenerationDelta(
        text=piece.text,
        prompt_tokens=before.prompt_tokens,
        generated_tokens=before.generated_tokens + len(piece.token_ids),
        finish_reason=piece.finish_reason,
        cached_tokens=max(before.cached_tokens, output.num_cached_tokens or 0),
        queue_s=max(0.0, times.scheduled_ts - times.queued_ts) if times else before.queue_s,
        logprobs=tuple(
            _logprob(token, candidates, logprobs, vocabulary)
            for token, candidates in zip(piece.token_ids, piece.logprobs or (), strict=False)
            if logprobs is not None
        ),
    )


def _logprob(token: int, candidates: Any, count: int, vocabulary: Vocabulary) -> TokenLogprob:
    likeliest = sorted(candidates.items(), key=lambda candidate: candidate[1].rank)[:count]
    chosen = candidates[token]
    if not math.isfinite(chosen.logprob):
        raise not_finite("the model's")
    top = tuple(TokenLogprob(vocabulary.utf8(other), candidate.logprob) for other, candidate in likeliest)
    return TokenLogprob(vocabulary.utf8(token), chosen.logprob, top)
