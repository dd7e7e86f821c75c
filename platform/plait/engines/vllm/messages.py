"""What vLLM takes and gives, in the words of engines: sampling to its parameters, its outputs to an answer's pieces."""

import json
import math
from dataclasses import replace
from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from plait.engines.constraint import Constraint
from plait.engines.engine import GenerationDelta, Sampling, TokenLogprob
from plait.engines.prompts import Prompt
from plait.engines.sampling import not_finite
from plait.engines.vocabulary import Vocabulary
from plait.errors import Unavailable


def sampling_params(sampling: Sampling, stream_interval: int) -> SamplingParams:
    """vLLM's parameters of a request that is answered in pieces of `stream_interval` tokens."""
    return SamplingParams(
        max_tokens=max(sampling.max_tokens, 1),  # vLLM's least; `only_read` takes the one token away
        min_tokens=sampling.min_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        stop=[stop for stop in sampling.stop if stop] or None,  # vLLM refuses an empty one
        stop_token_ids=list(sampling.stop_token_ids) or None,
        include_stop_str_in_output=sampling.include_stop_str_in_output,
        skip_special_tokens=sampling.skip_special_tokens,
        bad_words=list(sampling.bad_words) or None,
        allowed_token_ids=list(sampling.allowed_token_ids) or None,
        seed=sampling.seed,
        logprobs=sampling.logprobs,
        prompt_logprobs=sampling.prompt_logprobs,
        ignore_eos=sampling.ignore_eos,
        structured_outputs=_structured_outputs(sampling.constraint),
        output_kind=RequestOutputKind.DELTA,
        stream_interval=stream_interval,
    )


def _structured_outputs(constraint: Constraint | None) -> Any:
    if constraint is None:
        return None
    if constraint.kind == "choice":
        return StructuredOutputsParams(choice=json.loads(constraint.text))
    field = "json" if constraint.kind == "json_schema" else constraint.kind
    return StructuredOutputsParams(**{field: constraint.text})


def next_delta(
    output: Any, before: GenerationDelta, sampling: Sampling, vocabulary: Vocabulary, prompt: Prompt
) -> GenerationDelta:
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
            replace(
                _logprob(token, candidates, sampling.logprobs, vocabulary),
                is_text=not (sampling.skip_special_tokens and vocabulary.is_special(token)),
            )
            for token, candidates in zip(piece.token_ids, piece.logprobs or (), strict=False)
            if sampling.logprobs is not None
        ),
        prompt_logprobs=_of_prompt(output.prompt_logprobs, sampling.prompt_logprobs, vocabulary, prompt),
        prompt_text=prompt.text if not before.generated_tokens else "",
        stop_string=piece.stop_reason if isinstance(piece.stop_reason, str) else "",
    )


def only_read(delta: GenerationDelta) -> GenerationDelta:
    """What a request gets that wants no token, of the piece with the one that vLLM made."""
    return replace(delta, text="", generated_tokens=0, finish_reason="length", logprobs=())


def _of_prompt(told: Any, count: int | None, vocabulary: Vocabulary, prompt: Prompt) -> tuple[TokenLogprob, ...]:
    """The log-probabilities of a prompt's tokens, which come with vLLM's first piece, where they are asked for."""
    if not told or count is None:
        return ()
    begin = prompt.tokens[0]
    rest = zip(prompt.tokens[1:], told[1:], strict=True)
    return (
        TokenLogprob(begin, vocabulary.utf8(begin), None, is_text=not prompt.adds_bos),
        *(_logprob(token, candidates, count, vocabulary) for token, candidates in rest),
    )


def _logprob(token: int, candidates: Any, count: int, vocabulary: Vocabulary) -> TokenLogprob:
    likeliest = sorted(candidates.items(), key=lambda candidate: candidate[1].rank)[:count]
    chosen = candidates[token]
    if not math.isfinite(chosen.logprob):
        raise not_finite("the model's")
    utf8 = vocabulary.utf8
    top = tuple(TokenLogprob(other, utf8(other), found.logprob, rank=found.rank) for other, found in likeliest)
    return TokenLogprob(token, utf8(token), chosen.logprob, top, chosen.rank)
