"""OpenAI's Agents SDK, which asks /v1/responses."""

from agents import Agent, ModelSettings, OpenAIProvider, RunConfig, Runner, function_tool
from openai import AsyncOpenAI
from pydantic import BaseModel
from trial import URL, feature, run

called: list[str] = []


class Weather(BaseModel):
    city: str
    summary: str


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city now."""
    called.append(city)
    return "sunny, 24 degrees"


def config() -> RunConfig:
    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=URL, api_key="none"))
    # A small model's likeliest words: others are no call of a tool now and then.
    settings = ModelSettings(temperature=0)
    return RunConfig(model_provider=provider, tracing_disabled=True, model_settings=settings)


@feature
async def responses() -> None:
    agent = Agent("hello", instructions="Be brief.", model="base")
    assert (await Runner.run(agent, "Say hello.", run_config=config())).final_output


@feature
async def responses_streamed() -> None:
    agent = Agent("hello", instructions="Be brief.", model="base")
    result = Runner.run_streamed(agent, "Say hello.", run_config=config())
    kinds = {event.type async for event in result.stream_events()}
    assert "raw_response_event" in kinds
    assert result.final_output


@feature
async def responses_tools() -> None:
    # A small model asks for the same tool again after its result, so each turn is a run of its own.
    called.clear()
    asks = Agent(
        "weather",
        instructions="Use tools.",
        model="base",
        tools=[get_weather],
        model_settings=ModelSettings(tool_choice="required"),
        tool_use_behavior="stop_on_first_tool",
    )
    told = await Runner.run(asks, "What is the weather in Rome?", run_config=config())
    assert called == ["Rome"]
    assert told.final_output == "sunny, 24 degrees"
    says = asks.clone(model_settings=ModelSettings(tool_choice="none"))
    assert (await Runner.run(says, told.to_input_list(), run_config=config())).final_output


@feature
async def responses_structured() -> None:
    agent = Agent("weather", instructions="Answer.", model="base", output_type=Weather)
    result = await Runner.run(agent, "It is sunny in Rome.", run_config=config())
    assert isinstance(result.final_output, Weather)


@feature
async def responses_tools_structured() -> None:
    # A small model that may call a tool again after its result does so until the turns are used up.
    agent = Agent(
        "weather",
        instructions="Answer.",
        model="base",
        tools=[get_weather],
        output_type=Weather,
        model_settings=ModelSettings(tool_choice="none"),
    )
    result = await Runner.run(agent, "It is sunny in Rome.", run_config=config())
    assert isinstance(result.final_output, Weather)


run()
