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
_TASK = "evaluation"
"""What a server of ours is told, so that it takes no request of a judge for one of a user."""


@asynccontextmanager
async def open_judge(
    how: str | JudgeEndpoint,
    embedding: Embedding | None = None,
    *,
    served: Generate | None = None,
    keeps_replies: bool = True,
) -> AsyncIterator[Judge]:
    """The judge of a recipe, which is closed at the end of the block.

    Args:
        how: `lexical`, `embedding`, `nli:MODEL`, or an endpoint.
        embedding: what the judge `embedding` compares by.
        served: the model of an endpoint without address; None: this machine's server is asked by HTTP.
        keeps_replies: whether an endpoint's replies are kept under the home, to cost nothing the next time.

    Raises:
        InvalidInput: when there is no such judge, an embedding is lacking, or the variable of a key is not set.
        ModelNotFound: when the model of `nli` is none, or tells no entailment.
        Unavailable: when the file of kept replies cannot be used.
    """
    if isinstance(how, JudgeEndpoint):
        from plait.evaluation.judges.model import ModelJudge

        async with open_model(how, served=served, keeps_replies=keeps_replies) as model:
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
        raise _no_such_judge(how)


def check_judge_name(name: str) -> None:
    """Find out before a judge is opened that there is none of this name.

    Raises:
        InvalidInput: when there is none.
    """
    if name not in ("lexical", "embedding") and (not name.startswith(_NLI) or name == _NLI):
        raise _no_such_judge(name)


def _no_such_judge(name: str) -> InvalidInput:
    known = ("lexical", "embedding", f"{_NLI}MODEL")
    return InvalidInput(
        f"There is no judge '{name}'.", did_you_mean(name, known) + " A model judges by its section: model, base_url."
    )


@asynccontextmanager
async def open_model(
    how: ModelEndpoint, *, served: Generate | None = None, keeps_replies: bool = True
) -> AsyncIterator[Generate]:
    """The model of an endpoint, which is closed at the end of the block.

    Args:
        served: the model of an endpoint without address; None: this machine's server is asked by HTTP.
        keeps_replies: whether its replies are kept under the home, to cost nothing the next time.

    Raises:
        InvalidInput: when the variable of the key is not set.
        Unavailable: when the file of kept replies cannot be used.
    """
    from plait.evaluation.judges.cache import CachedGenerate, ReplyCache
    from plait.models.chat_endpoint import ChatEndpoint

    if how.base_url is not None:
        endpoint = ChatEndpoint(how.model, how.base_url, key_of(how), task=_TASK)
    elif served is None:
        endpoint = ChatEndpoint.served(how.model, task=_TASK)
    else:
        yield served
        return
    async with endpoint:
        if not keeps_replies:
            yield endpoint
            return
        with closing(ReplyCache(replies_file())) as cache:
            yield CachedGenerate(endpoint, f"{how.base_url or ''} {how.model}", cache)


def key_of(how: ModelEndpoint) -> str:
    """The key of an endpoint; empty where it needs none.

    Raises:
        InvalidInput: when the variable that holds it is not set.
    """
    if how.api_key_env is None:
        return ""
    key = os.environ.get(how.api_key_env)
    if not key:
        raise InvalidInput(f"The variable {how.api_key_env} with the key of the endpoint is not set.", "Set it.")
    return key


def replies_file() -> Path:
    """Where replies of judges are kept; it may be deleted while nobody judges."""
    return settings().root / "judges" / "replies.sqlite"
