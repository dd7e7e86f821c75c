"""What engines refuse in the same words: requests that do not fit, adapters of other models or not loaded.

In: a request's numbers, or an adapter's folder. Out: nothing, or the error. It knows no engine.
"""

import math
from dataclasses import replace
from pathlib import Path

from plait.adapters.metadata import FILE_NAME, AdapterMetadata, check_adapter_files
from plait.adapters.methods.saved_config import CONFIG_FILE
from plait.engines.engine import (
    LOGIT_BIASES,
    MAX_BAD_WORDS,
    MAX_LOGIT_BIASES,
    MAX_LOGPROBS,
    PENALTIES,
    REPETITION_PENALTIES,
    SEEDS,
    TEMPERATURES,
    GenerationRequest,
)
from plait.errors import InvalidInput, ModelNotFound, Overloaded, Unavailable, first_line


def check_request(request: GenerationRequest) -> None:
    """Refuse a request with a number that is out of its bounds, or a text that is none.

    Raises:
        InvalidInput: names the field and its bounds.
    """
    sampling = request.sampling
    _check("max_tokens", sampling.max_tokens, 0, math.inf)
    _check("min_tokens", sampling.min_tokens, 0, sampling.max_tokens)
    _check("temperature", sampling.temperature, *TEMPERATURES)
    _check("top_p", sampling.top_p, 0, 1)
    _check("top_k", sampling.top_k, 0, math.inf)
    _check("min_p", sampling.min_p, 0, 1)
    if sampling.top_p == 0 or sampling.min_p == 1:
        raise InvalidInput("top_p must be above 0, and min_p below 1.", "Leave out what keeps no token.")
    _check("repetition_penalty", sampling.repetition_penalty, *REPETITION_PENALTIES)
    _check("presence_penalty", sampling.presence_penalty, *PENALTIES)
    _check("frequency_penalty", sampling.frequency_penalty, *PENALTIES)
    _check("the number of logit_bias", len(sampling.logit_bias), 0, MAX_LOGIT_BIASES)
    for token, bias in sampling.logit_bias:
        _check(f"logit_bias of the token {token}", bias, *LOGIT_BIASES)
    _check("seed", sampling.seed or 0, *SEEDS)
    _check("logprobs", sampling.logprobs or 0, 0, MAX_LOGPROBS)
    _check("prompt_logprobs", sampling.prompt_logprobs or 0, 0, MAX_LOGPROBS)
    _check("the number of bad_words", len(sampling.bad_words), 0, MAX_BAD_WORDS)
    if request.truncate_prompt_tokens not in (None, -1):
        _check("truncate_prompt_tokens", request.truncate_prompt_tokens or 0, 1, math.inf)
    _check("stream_interval", request.stream_interval, 1, math.inf)
    if not math.isfinite(request.deadline_s or 0):
        raise InvalidInput(f"deadline_s is {request.deadline_s}.", "Give a number of seconds, or none.")
    texts = {
        "prompt": request.prompt if isinstance(request.prompt, str) else "",
        "stop": "".join(sampling.stop),
        "bad_words": "".join(sampling.bad_words),
    }
    if (constraint := sampling.constraint) is not None:
        texts[constraint.kind] = constraint.text
    for name, text in texts.items():
        _check_text(name, text)


def check_tokens(request: GenerationRequest, vocabulary: int) -> None:
    """Refuse a request that names a token which the model does not have.

    Args:
        vocabulary: how many tokens it has.

    Raises:
        InvalidInput: names the token and the field.
    """
    sampling = request.sampling
    fields = {
        "prompt": () if isinstance(request.prompt, str) else request.prompt,
        "logit_bias": [token for token, _ in sampling.logit_bias],
        "allowed_token_ids": sampling.allowed_token_ids,
        "stop_token_ids": sampling.stop_token_ids,
    }
    for name, tokens in fields.items():
        for token in (min(tokens, default=0), max(tokens, default=0)):
            if not 0 <= token < vocabulary:
                raise InvalidInput(
                    f"{name} names the token {token}, which does not exist.",
                    f"The model's tokens are 0 to {vocabulary - 1}.",
                )


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # NaN is neither
        bounds = f"from {least:g} to {most:g}" if most < math.inf else f"{least:g} or more"
        raise InvalidInput(f"{name} is {value}; it must be {bounds}.")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name} has half a character (a lone surrogate) at position {error.start}.",
            "Do not cut text between the two halves of a character.",
        ) from None


def tokens_to_keep(request: GenerationRequest, context_tokens: int) -> int | None:
    """How many tokens of its prompt a request wants to keep at most; None: all."""
    wanted = request.truncate_prompt_tokens
    return max(1, context_tokens - request.sampling.max_tokens) if wanted == -1 else wanted


def fitted(request: GenerationRequest, prompt_tokens: int, context_tokens: int) -> GenerationRequest:
    """The request, with as many tokens of an answer as the context has room for, where it takes fewer than it wants."""
    room = max(1, context_tokens - prompt_tokens)
    if not request.fits_answer or request.sampling.max_tokens <= room:
        return request
    return replace(request, sampling=replace(request.sampling, max_tokens=room))


def check_length(prompt_tokens: int, max_tokens: int, context_tokens: int) -> None:
    """Refuse a request whose prompt and answer exceed the context.

    Raises:
        InvalidInput: with the numbers.
    """
    if prompt_tokens + max_tokens > context_tokens:
        raise InvalidInput(
            f"The prompt ({prompt_tokens} tokens) and max_tokens ({max_tokens}) together exceed the "
            f"context of {context_tokens} tokens.",
            "Shorten the prompt or lower max_tokens.",
        )


def check_queue(waiting: int, max_waiting: int) -> None:
    """Refuse one request more than may wait.

    Raises:
        Overloaded: with how many wait.
    """
    if waiting >= max_waiting:
        raise Overloaded(f"{waiting} requests are waiting already.", "Try again in a moment.")


def check_adapter(key: str, folder: Path, base_sha256: str) -> AdapterMetadata | None:
    """What an adapter's folder says about itself, once it is known to be one of this base model.

    A folder of plain PEFT says nothing of its base, and gives None: only the shapes of its weights can tell.

    Raises:
        InvalidInput: when it is no adapter, a whole model, or one of another base model.
    """
    check_adapter_files(folder)
    metadata = AdapterMetadata.read(folder) if (folder / FILE_NAME).is_file() else None
    if not (folder / CONFIG_FILE).is_file():
        raise InvalidInput(
            f"'{key}' cannot be served as an adapter: it is a whole fine-tuned model.",
            f"Serve it as a base model: llm.model={folder}.",
        )
    if metadata is not None and metadata.base_sha256 != base_sha256:
        raise InvalidInput(
            f"The adapter '{key}' was trained on another base model ({metadata.base_model}).",
            "Serve that base model, or train the adapter anew on this one.",
        )
    return metadata


def cannot_be_loaded(key: str, error: Exception) -> InvalidInput:
    """An adapter whose weights or configuration do not load."""
    return InvalidInput(
        f"The adapter '{key}' cannot be loaded ({first_line(error)}).",
        "Check that its files are whole, and that it was made for this base model.",
    )


def not_loaded(key: str) -> ModelNotFound:
    """A request for an adapter that is not there."""
    return ModelNotFound(f"The adapter '{key}' is not loaded.")


def closed() -> Unavailable:
    """What requests get of an engine that was closed."""
    return Unavailable("The engine is closed.")
