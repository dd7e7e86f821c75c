"""LangChain's langchain-openai."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from trial import URL, feature, run

chat_model = ChatOpenAI(model="base", base_url=URL, api_key="none")
ASK = "Which city is the capital of Italy?"


class City(BaseModel):
    name: str
    country: str


@tool
def get_weather(city: str) -> str:
    """The weather of a city now."""
    return "sunny"


@feature
def chat() -> None:
    assert chat_model.invoke("Say hello.").content


@feature
def chat_streamed() -> None:
    assert "".join(chunk.content for chunk in chat_model.stream("Say hello."))


@feature
def chat_tools() -> None:
    calls = chat_model.bind_tools([get_weather], tool_choice="required").invoke("The weather in Rome?").tool_calls
    assert calls[0]["name"] == "get_weather"


@feature
def chat_structured() -> None:
    assert isinstance(chat_model.with_structured_output(City).invoke(ASK), City)


@feature
def chat_tools_structured() -> None:
    model = chat_model.bind_tools([get_weather], response_format=City, strict=True)
    message = model.invoke(ASK)
    assert message.tool_calls or message.content


@feature
def responses() -> None:
    assert ChatOpenAI(model="base", base_url=URL, api_key="none", use_responses_api=True).invoke("Say hello.").text


@feature
def embeddings() -> None:
    embeddings = OpenAIEmbeddings(model="embedding", base_url=URL, api_key="none", check_embedding_ctx_length=False)
    assert len(embeddings.embed_documents(["one", "two"])) == 2


run()
