"""From what a recipe says of a judge, or of a model that writes, to it, opened for as long as it is needed."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from plait.errors import InvalidInput, did_you_mean
from plait.evaluation.judges.judge import Judge
from plait.evaluation.judges.lexical import LexicalJudge
from plait.models.embedding import Embedding
from plait.models.generate import Generate
from plait.recipes.endpoint import ModelEndpoint
from plait.recipes.judging import JudgeEndpoint
from plait.settings import settings

_NLI = "nli:"


@asynccontextmanager
async def open_judge(how: str | JudgeEndpoint, embedding: Embedding | None = None) -> AsyncIterator[Judge]:
    """The judge of a recipe, which is closed at the end of the block.

    Args:
        how: `lexical`, `embedding`, `nli:MODEL`, or an endpoint; the endpoint's replies are kept under the home.
        embedding: what the judge `embedding` compares by.

    Raises:
        InvalidInput: when there is no such judge, an embedding is lacking, or the variable of a key is not set.
        ModelNotFound: when the model of `nli` is none, or tells no entailment.
        Unavailable: when the file of kept replies cannot be used.
    """
    if isinstance(how, JudgeEndpoint):
        from plait.evaluation.judges.model import ModelJudge

        async with open_model(how) as model:
            yield ModelJudge(model, how.model)
    elif how == "lexical":
        yield LexicalJudge()
    elif how == "embedding":
        from plait.evaluation.judges.embedding import EmbeddingJudge

        if embedding is None:
            raise InvalidInput("The judge 'embedding' needs an embedding model.", "Name one, or choose another judge.")
        yield EmbeddingJudge(embedding)
    elif how.startswith(_NLI) and how != _NLI:
        from plait.evaluation.judges.nli import EntailmentJudge
        from plait.models.entailment import EntailmentModel

        yield EntailmentJudge(EntailmentModel(how.removeprefix(_NLI)))
    else:
        known = ("lexical", "embedding", "nli:MODEL")
        raise InvalidInput(
            f"There is no judge '{how}'.", did_you_mean(how, known) + " A model judges by its section: model, base_url."
        )


@asynccontextmanager
async def open_model(how: ModelEndpoint) -> AsyncIterator[Generate]:
    """The model of an endpoint, which is closed at the end of the block; its replies are kept under the home.

    Raises:
        InvalidInput: when the variable of the key is not set.
        Unavailable: when the file of kept replies cannot be used.
    """
    from plait.evaluation.judges.cache import CachedGenerate, ReplyCache
    from plait.models.chat_endpoint import ChatEndpoint

    if how.base_url is None:
        endpoint = ChatEndpoint.served(how.model)
    else:
        endpoint = ChatEndpoint(how.model, how.base_url, _key(how))
    async with endpoint:
        with closing(ReplyCache(replies_file())) as cache:
            yield CachedGenerate(endpoint, f"{how.base_url or ''} {how.model}", cache)


def _key(how: ModelEndpoint) -> str:
    if how.api_key_env is None:
        return ""
    key = os.environ.get(how.api_key_env)
    if not key:
        raise InvalidInput(f"The variable {how.api_key_env} with the key of the endpoint is not set.", "Set it.")
    return key


def replies_file() -> Path:
    """Where replies of judges are kept; it may be deleted while nobody judges."""
    return settings().root / "judges" / "replies.sqlite"
