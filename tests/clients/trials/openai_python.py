"""The `openai` package."""

from openai import BadRequestError, OpenAI
from pydantic import BaseModel
from trial import URL, feature, run

client = OpenAI(base_url=URL, api_key="none")
ASK = "What is the weather in Rome? Use the tool."
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class City(BaseModel):
    name: str
    country: str


@feature
def chat() -> None:
    assert (
        client.chat.completions.create(model="base", messages=[{"role": "user", "content": "Say hello."}])
        .choices[0]
        .message.content
    )


@feature
def chat_streamed() -> None:
    with client.chat.completions.stream(model="base", messages=[{"role": "user", "content": "Say hello."}]) as stream:
        assert stream.get_final_completion().choices[0].message.content


@feature
def chat_tools() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
    message = (
        client.chat.completions.create(
            model="base", messages=[{"role": "user", "content": ASK}], tools=[tool], tool_choice="required"
        )
        .choices[0]
        .message
    )
    assert message.tool_calls[0].function.name == "weather"


@feature
def chat_structured() -> None:
    parsed = client.chat.completions.parse(
        model="base",
        messages=[{"role": "user", "content": "What is the capital of Italy, and of which country?"}],
        response_format=City,
    )
    assert parsed.choices[0].message.parsed.name


@feature
def completions() -> None:
    assert client.completions.create(model="base", prompt="The capital of Italy is", max_tokens=4).choices[0].text


@feature
def responses() -> None:
    first = client.responses.create(model="base", input="Say hello.", instructions="Be brief.")
    assert first.output_text
    assert client.responses.create(model="base", input="Again.", previous_response_id=first.id).output_text
    assert client.responses.retrieve(first.id).output_text == first.output_text
    client.responses.delete(first.id)


@feature
def responses_streamed() -> None:
    with client.responses.stream(model="base", input="Say hello.") as stream:
        assert stream.get_final_response().output_text


@feature
def responses_tools() -> None:
    tool = {"type": "function", "name": "weather", "parameters": PARAMETERS}
    output = client.responses.create(model="base", input=ASK, tools=[tool], tool_choice="required").output
    assert output[0].name == "weather"


@feature
def responses_structured() -> None:
    assert client.responses.parse(model="base", input="The capital of Italy?", text_format=City).output_parsed.name


@feature
def embeddings() -> None:
    assert len(client.embeddings.create(model="embedding", input=["one", "two"]).data) == 2


@feature
def embeddings_of_other_models_tokens_are_refused() -> None:
    # What LangChain's OpenAIEmbeddings sends by default; its own way needs tiktoken's files from the network.
    said = "nothing"
    try:
        client.embeddings.create(model="embedding", input=[[29773, 8640, 9256, 13]])
    except BadRequestError as error:
        said = str(error)
    assert "check_embedding_ctx_length=False" in said


@feature
def models() -> None:
    assert {model.id for model in client.models.list()} >= {"base", "embedding"}


run()
