"""LlamaIndex's OpenAILike packages."""

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from trial import URL, feature, run


class City(BaseModel):
    name: str
    country: str


HELLO = [ChatMessage("Say hello.")]
llm = OpenAILike(model="base", api_base=URL, api_key="none", is_chat_model=True, is_function_calling_model=True)
plain = OpenAILike(model="base", api_base=URL, api_key="none")


@feature
def chat() -> None:
    assert llm.chat(HELLO).message.content


@feature
def chat_streamed() -> None:
    assert list(llm.stream_chat(HELLO))[-1].message.content


@feature
def chat_tools_structured() -> None:
    assert isinstance(llm.as_structured_llm(City).complete("Which city is the capital of Italy?").raw, City)


@feature
def completions() -> None:
    assert plain.complete("The capital of Italy is").text


@feature
def embeddings() -> None:
    embedding = OpenAILikeEmbedding(model_name="embedding", api_base=URL, api_key="none", embed_batch_size=10)
    assert len(embedding.get_text_embedding_batch(["one", "two"])) == 2


run()
