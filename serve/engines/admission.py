"""What engines refuse in the same words: requests that do not fit, adapters of other models or not loaded.

In: a request's numbers, or an adapter's folder. Out: nothing, or the error. It knows no engine.
"""

from pathlib import Path

from plait.adapters.metadata import FILE_NAME, AdapterMetadata, check_adapter_files
from plait.errors import InvalidInput, ModelNotFound, Overloaded


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
    if (metadata is not None and metadata.method == "full") or not (folder / "adapter_config.json").is_file():
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
    reason = " ".join(str(error).split())[:200]
    return InvalidInput(
        f"The adapter '{key}' cannot be loaded ({reason}).",
        "Check that its files are whole, and that it was made for this base model.",
    )


def not_loaded(key: str) -> ModelNotFound:
    """A request for an adapter that is not there."""
    return ModelNotFound(f"The adapter '{key}' is not loaded.")
