"""The `anthropic` package, which asks /v1/messages."""

from anthropic import Anthropic
from trial import URL, feature, run

client = Anthropic(base_url=URL.removesuffix("/v1"), api_key="none")
HELLO = [{"role": "user", "content": "Say hello."}]
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@feature
def messages() -> None:
    assert client.messages.create(model="base", max_tokens=40, messages=HELLO, system="Be brief.").content[0].text


@feature
def messages_streamed() -> None:
    with client.messages.stream(model="base", max_tokens=40, messages=HELLO) as stream:
        assert stream.get_final_text()


@feature
def messages_tools() -> None:
    ask = [{"role": "user", "content": "What is the weather in Rome?"}]
    said = client.messages.create(
        model="base", max_tokens=100, messages=ask, tools=[TOOL], tool_choice={"type": "any"}
    ).content
    call = said[-1]
    assert (call.type, call.name) == ("tool_use", "weather")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny, 24 degrees"}
    turns = [*ask, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
    assert client.messages.create(model="base", max_tokens=40, messages=turns, tools=[TOOL]).content


@feature
def messages_count_tokens() -> None:
    assert client.messages.count_tokens(model="base", messages=HELLO).input_tokens


run()
