"""Replies are kept by content: asked again, a judge costs nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from judging_models import ScriptedModel

from plait.errors import Unavailable
from plait.evaluation.judges.cache import CachedGenerate, ReplyCache
from plait.models.message import Message

ASKED = [Message("user", '{"question": "Why?"}')]
SCHEMA = {"type": "object", "properties": {"verdict": {"enum": ["yes", "no"]}}}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    made = ReplyCache(tmp_path / "judges" / "replies.sqlite")
    yield made
    made.close()


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(lambda data, schema: '{"verdict": "yes"}')


async def test_what_was_asked_is_not_asked_again_also_by_another_process(
    cache: ReplyCache, model: ScriptedModel, tmp_path: Path
) -> None:
    first = await CachedGenerate(model, "judge", cache).generate(ASKED, 10, SCHEMA)
    other = ReplyCache(tmp_path / "judges" / "replies.sqlite")
    again = await CachedGenerate(model, "judge", other).generate(ASKED, 10, SCHEMA)
    other.close()
    assert (first.text, first.is_kept) == (again.text, False)
    assert again.is_kept
    assert len(model.asked) == 1


async def test_another_model_question_schema_or_length_is_another_reply(
    cache: ReplyCache, model: ScriptedModel
) -> None:
    one = CachedGenerate(model, "judge", cache)
    await one.generate(ASKED, 10, SCHEMA)
    await CachedGenerate(model, "another", cache).generate(ASKED, 10, SCHEMA)
    await one.generate([Message("user", '{"question": "How?"}')], 10, SCHEMA)
    await one.generate(ASKED, 11, SCHEMA)
    await one.generate(ASKED, 10, SCHEMA | {"additionalProperties": False})
    assert len(model.asked) == 5


async def test_what_is_asked_twice_at_once_is_asked_once(cache: ReplyCache, model: ScriptedModel) -> None:
    kept = CachedGenerate(model, "judge", cache)
    replies = await asyncio.gather(*(kept.generate(ASKED, 10, SCHEMA) for _ in range(8)))
    assert len(model.asked) == 1
    assert sum(reply.is_kept for reply in replies) == 7


async def test_a_failure_is_not_kept(cache: ReplyCache) -> None:
    answers = iter([Unavailable("Nothing answers."), None])

    def say(*_: object) -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "{}"

    kept = CachedGenerate(ScriptedModel(say), "judge", cache)
    with pytest.raises(Unavailable):
        await kept.generate(ASKED, 10, SCHEMA)
    assert (await kept.generate(ASKED, 10, SCHEMA)).text == "{}"


def test_a_file_that_is_no_database_is_said_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "replies.sqlite"
    file.write_text("no database, but long enough to be read as one" * 100)
    with pytest.raises(Unavailable, match=r"replies.sqlite' cannot be used \(file is not a database\)"):
        ReplyCache(file)
