"""Everything that is decided before workers start: base model, chat format, encoded examples.

In: a recipe. Out: a `Prepared` run, or one clear error. Nothing is trained and nothing is registered here.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plait.errors import DataError
from plait.jobs.train.examples import Conversation, Example, encode_all, read_conversations
from plait.models.chat import ChatFormat, chat_format_for
from plait.models.fingerprint import file_sha256, model_sha256
from plait.models.load import load_tokenizer
from plait.models.source import resolve_model
from plait.recipes import ContextConfig, TrainRecipe


@dataclass(frozen=True)
class Prepared:
    """A run that can start. `key` is the same for the same recipe, base weights and encoded examples."""

    recipe: TrainRecipe
    base_folder: Path
    base_sha256: str
    dataset_sha256: str
    chat_format: ChatFormat
    pad_id: int
    train: list[Example]
    eval: list[Example]
    key: str


def prepare(recipe: TrainRecipe) -> Prepared:
    """Check and encode all that a run needs.

    Raises:
        DataError: for a data file that is missing, empty or has a bad line.
        ModelNotFound: when the base model cannot be found.
        CollectionNotFound: when `data.context` names an index that does not exist.
    """
    train_file = Path(recipe.data.train).expanduser()
    train = read_conversations(train_file)
    eval_file = Path(recipe.data.eval).expanduser() if recipe.data.eval else None
    held_out = read_conversations(eval_file) if eval_file else []
    base_folder = resolve_model(recipe.model.source)
    tokenizer = load_tokenizer(base_folder)
    chat_format = chat_format_for(tokenizer, recipe.model.chat_format)
    if recipe.data.context is not None:
        train = _with_context(train, recipe.data.context, tokenizer, recipe.train.seed)
        held_out = _with_context(held_out, recipe.data.context, tokenizer, recipe.train.seed)
    limit = recipe.data.max_tokens
    encoded = encode_all(train_file, train, chat_format, tokenizer, limit)
    encoded_eval = encode_all(eval_file, held_out, chat_format, tokenizer, limit) if eval_file else []
    if not any(example.label_count for example in encoded):
        raise DataError(f"No example of '{train_file}' has an answer to learn from.")
    base_sha256 = model_sha256(base_folder)
    return Prepared(
        recipe=recipe,
        base_folder=base_folder,
        base_sha256=base_sha256,
        dataset_sha256=file_sha256(train_file),
        chat_format=chat_format,
        pad_id=tokenizer.pad_token_id,
        train=encoded,
        eval=encoded_eval,
        key=_digest(recipe.model_dump_json(), base_sha256, encoded, encoded_eval),
    )


def _with_context(
    conversations: Sequence[Conversation], config: ContextConfig, tokenizer: Any, seed: int
) -> list[Conversation]:
    """Give a share of the conversations the passages that serving would retrieve for them."""
    from plait.index.collection import Index
    from plait.models.embedding import EmbeddingModel
    from plait.retrieval.context import with_passages
    from plait.retrieval.retriever import Retriever

    index = Index.open(config.collection)
    retriever = Retriever(index, EmbeddingModel(index.embedding_model))
    chosen = set(random.Random(seed).sample(range(len(conversations)), round(config.share * len(conversations))))
    questions = [conversations[i].question for i in sorted(chosen)]
    found = dict(zip(sorted(chosen), retriever.retrieve(questions, config.top_k, config.tenant), strict=True))

    def count_tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return [
        replace(c, messages=with_passages(c.messages, found[i], config.budget_tokens, count_tokens).messages)
        if i in found
        else c
        for i, c in enumerate(conversations)
    ]


def _digest(recipe: str, base_sha256: str, *example_sets: Sequence[Example]) -> str:
    digest = hashlib.sha256(f"{recipe}\n{base_sha256}\n".encode())
    for examples in example_sets:
        for example in examples:
            digest.update(repr((example.input_ids, example.labels)).encode())
    return digest.hexdigest()
