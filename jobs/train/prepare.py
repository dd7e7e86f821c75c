"""Everything that is decided before anything is computed: data files, base model, chat format, what to start from.

In: a recipe. Out: a `Prepared` run, or one clear error. Nothing is encoded, trained or registered here.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from plait.adapters.registry import Registry
from plait.documents.row_source import RowSource, find_rows
from plait.errors import InvalidInput
from plait.jobs.train.python_topics import PythonTopics
from plait.model_ids import AdapterRef
from plait.models.chat import ChatFormat, chat_format_for
from plait.models.fingerprint import model_sha256
from plait.models.load import context_length
from plait.models.source import resolve_model
from plait.models.tokenizer import load_tokenizer
from plait.recipes import ContextConfig, DataConfig, TrainRecipe

_BUILTIN = "builtin"


@dataclass(frozen=True)
class Prepared:
    """A run that can start. `key` is the same for the same recipe, base weights and data."""

    recipe: TrainRecipe
    base_folder: Path
    base_sha256: str
    dataset_sha256: str
    chat_format: ChatFormat
    pad_id: int
    train: RowSource
    eval: RowSource | None
    general: RowSource
    rehearsal: RowSource | None
    start_from: Path | None
    parent: str | None
    key: str


def prepare(recipe: TrainRecipe) -> Prepared:
    """Check all that a run needs.

    Raises:
        DataError: for a data source that is missing or holds no data files.
        ModelNotFound: when the base model, the adapter to continue from, or the reranker cannot be found.
        CollectionNotFound: when `data.context` names an index that does not exist.
        InvalidInput: for rows longer than the model's context, or an adapter to continue from that was made on another
            base model or with another method.
    """
    train = _found("data.train", recipe.data.train)
    held_out = _found("data.eval", recipe.data.eval) if recipe.data.eval else None
    general = _found("data.general", _general_source(recipe.data.general))
    rehearsal = _rehearsal(recipe.data) if recipe.data.rehearsal_share else None
    base_folder = resolve_model(recipe.model.source)
    check_context(recipe, base_folder)
    tokenizer = load_tokenizer(base_folder)
    base_sha256 = model_sha256(base_folder)
    start_from, parent = _start(recipe, base_sha256)
    dataset_sha256 = train.fingerprint()
    context = _context_fingerprint(recipe.data.context) if recipe.data.context else ""
    parts = (
        recipe.model_dump_json(exclude={"promote"}),  # what follows a run does not make it another one
        base_sha256,
        dataset_sha256,
        held_out.fingerprint() if held_out else "",
        general.fingerprint(),
        rehearsal.fingerprint() if rehearsal else "",
        context,
    )
    return Prepared(
        recipe=recipe,
        base_folder=base_folder,
        base_sha256=base_sha256,
        dataset_sha256=dataset_sha256,
        chat_format=chat_format_for(tokenizer, recipe.model.chat_format),
        pad_id=tokenizer.pad_token_id,
        train=train,
        eval=held_out,
        general=general,
        rehearsal=rehearsal,
        start_from=start_from,
        parent=parent,
        key=hashlib.sha256("\n".join((*parts, parent or "")).encode()).hexdigest(),
    )


def _found(field: str, value: str) -> RowSource:
    source = find_rows(value)
    for note in source.notes():
        print(f"{field}: {note}")
    return source


def _general_source(source: str) -> str:
    return str(files("plait.jobs.train") / "general.txt") if source == _BUILTIN else source


def _rehearsal(data: DataConfig) -> RowSource:
    return PythonTopics() if data.rehearsal == _BUILTIN else _found("data.rehearsal", data.rehearsal)


def check_context(recipe: TrainRecipe, base_folder: Path) -> None:
    """Find out that rows may be longer than the base model can read.

    Raises:
        InvalidInput: when they may be.
    """
    context_tokens = context_length(base_folder)
    if context_tokens is not None and recipe.data.max_tokens > context_tokens:
        raise InvalidInput(
            f"data.max_tokens is {recipe.data.max_tokens}, but {recipe.model.source} can read {context_tokens}.",
            f"Set data.max_tokens={context_tokens} or less.",
        )


def _start(recipe: TrainRecipe, base_sha256: str) -> tuple[Path | None, str | None]:
    """The adapter to continue from: its folder and its version."""
    if recipe.continue_from is None:
        return None, None
    parent = Registry().resolve(AdapterRef.parse(recipe.continue_from))
    if parent.metadata.base_sha256 != base_sha256:
        raise InvalidInput(
            f"The adapter '{parent.key}' was made on another base model ({parent.metadata.base_model}).",
            f"Set model.source={parent.metadata.base_model}, or train a new adapter.",
        )
    method = parent.metadata.method
    if method != recipe.adapter.method:
        raise InvalidInput(
            f"The adapter '{parent.key}' is of method {method}, the recipe of {recipe.adapter.method}.",
            f"Set adapter.method={method}.",
        )
    return parent.path, parent.key


def _context_fingerprint(context: ContextConfig) -> str:
    """Changes when the documents that passages are retrieved from change, or the model that reranks them."""
    from plait.index.collection import Index
    from plait.index.stores.connect import connect_store

    states = Index.open(context.collection, connect_store()).document_states(context.tenant)
    lines = sorted(f"{source}:{state}" for source, state in states.items())
    if context.rerank == "cross-encoder" and context.rerank_model is not None:
        lines.append(model_sha256(resolve_model(context.rerank_model)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
