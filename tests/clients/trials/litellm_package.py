"""LiteLLM, as a library."""

import litellm
from trial import URL, feature, run

HELLO = [{"role": "user", "content": "Say hello."}]
HOW = {"api_base": URL, "api_key": "none"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@feature
def chat() -> None:
    assert litellm.completion("openai/base", messages=HELLO, **HOW).choices[0].message.content


@feature
def chat_streamed() -> None:
    pieces = litellm.completion("openai/base", messages=HELLO, stream=True, **HOW)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces)


@feature
def chat_tools() -> None:
    ask = [{"role": "user", "content": "The weather in Rome?"}]
    answer = litellm.completion("openai/base", messages=ask, tools=[TOOL], tool_choice="required", **HOW)
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"


@feature
def responses() -> None:
    assert litellm.responses(input="Say hello.", model="openai/base", **HOW).output[0].content[0].text


@feature
def responses_by_the_bridge_of_chat() -> None:
    assert litellm.completion("openai/responses/base", messages=HELLO, **HOW).choices[0].message.content


@feature
def completions() -> None:
    answer = litellm.text_completion(model="text-completion-openai/base", prompt="Rome is", max_tokens=4, **HOW)
    assert answer.choices[0].text


@feature
def embeddings() -> None:
    assert len(litellm.embedding("openai/embedding", input=["one", "two"], **HOW).data) == 2


@feature
def chat_as_vllm() -> None:
    assert litellm.completion("hosted_vllm/base", messages=HELLO, **HOW).choices[0].message.content


run()
