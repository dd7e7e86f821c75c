"""Pydantic AI: its `openai:` models ask /v1/responses, `openai-chat:` ask /v1/chat/completions."""

import os

from trial import URL, feature, run

os.environ |= {"OPENAI_BASE_URL": URL, "OPENAI_API_KEY": "none"}

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput


class City(BaseModel):
    name: str
    country: str


def typed_agent(model: str, output_type: object) -> Agent:
    agent = Agent(model, output_type=output_type)

    @agent.tool_plain
    def population(city: str) -> int:
        """How many people live in a city."""
        return 2_700_000

    return agent


ASK = "Which city is the capital of Italy?"


@feature
async def responses() -> None:
    assert (await Agent("openai:base").run("Say hello.")).output


@feature
async def responses_streamed() -> None:
    async with Agent("openai:base").run_stream("Say hello.") as result:
        assert await result.get_output()


@feature
async def responses_structured() -> None:
    assert isinstance((await Agent("openai:base", output_type=City).run(ASK)).output, City)


@feature
async def responses_tools_structured() -> None:
    assert isinstance((await typed_agent("openai:base", NativeOutput(City)).run(ASK)).output, City)


@feature
async def chat() -> None:
    assert (await Agent("openai-chat:base").run("Say hello.")).output


@feature
async def chat_structured() -> None:
    assert isinstance((await Agent("openai-chat:base", output_type=City).run(ASK)).output, City)


@feature
async def chat_tools_structured() -> None:
    assert isinstance((await typed_agent("openai-chat:base", NativeOutput(City)).run(ASK)).output, City)


run()
