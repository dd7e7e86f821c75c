"""From what a recipe says to the judge."""

from pathlib import Path
from typing import Any

import pytest
from judging_models import WordEmbedding

from plait.errors import InvalidInput, ModelNotFound
from plait.evaluation.judges.judge import PairwiseJudge
from plait.evaluation.judges.opening import open_judge, replies_file
from plait.recipes.judging import JudgeEndpoint


async def test_a_name_opens_a_judge_that_works_offline() -> None:
    async with open_judge("lexical") as judge:
        assert judge.name == "lexical"
    async with open_judge("embedding", WordEmbedding()) as judge:
        assert judge.name == f"embedding:{WordEmbedding().name}"  # what another model says is not what this one says


async def test_an_endpoint_opens_a_model_whose_replies_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    how = JudgeEndpoint(model="gpt", base_url="http://127.0.0.1:9/v1", api_key_env="JUDGE_KEY")
    async with open_judge(how) as judge:
        assert judge.name == "gpt"
        assert isinstance(judge, PairwiseJudge)
    assert replies_file().exists()
    async with open_judge(JudgeEndpoint(model="base")) as judge:
        assert judge.name == "base"


async def test_what_a_model_says_of_users_answers_need_not_be_kept() -> None:
    replies_file().unlink(missing_ok=True)
    reader: Any = object()
    endpoint = JudgeEndpoint(model="gpt", base_url="http://127.0.0.1:9/v1")
    for how in (endpoint, JudgeEndpoint(model="base")):
        async with open_judge(how, served=reader, keeps_replies=False) as judge:
            assert judge.name == how.model
    assert not replies_file().exists()


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("lexica", "no judge 'lexica'. Did you mean 'lexical'"),
        ("", "no judge ''"),
        ("embedding", "needs an embedding model"),
        ("nli:", "There is no judge 'nli:'"),
        (JudgeEndpoint(model="gpt", base_url="http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY"), "NO_SUCH_KEY"),
    ],
)
async def test_what_cannot_be_opened_is_said_in_one_sentence(how: str | JudgeEndpoint, what: str) -> None:
    with pytest.raises(InvalidInput, match=what.replace(".", r"\.")):
        async with open_judge(how):
            pass


async def test_a_cross_encoder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        async with open_judge(f"nli:{tmp_path}"):
            pass
