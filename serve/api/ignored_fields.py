"""Fields of other servers' requests that change nothing here: OpenAI's, vLLM's, Cohere's, and what their clients send.

Each is accepted with its type and ignored, or accepted with the values that change nothing and refused with any other.
docs/serve.md lists them. What a client sends beyond them is refused by name.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from plait.serve.api.request_body import Refused, RequestBody

_AlwaysTrue = Literal[True] | None
_AlwaysFalse = Literal[False] | None
_NoText = Annotated[list[str], Field(max_length=0)] | None
_NoObject = Annotated[dict[str, Any], Field(max_length=0)] | None
_One = Annotated[float, Field(ge=1, le=1)] | None
_Zero = Annotated[int, Field(ge=0, le=0)] | None
_ONE_SEARCH = Refused("beam search is not supported; ask for n choices")
_ACTIVATION = Refused("scores are as the model's own configuration says")


class IgnoredAnywhere(RequestBody):
    """Of every route that runs a model."""

    user: str | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    priority: int | None = Field(None, description="Requests are served in the order in which they come.")


class IgnoredFields(IgnoredAnywhere):
    """Of those that keep nothing."""

    metadata: dict[str, Any] | None = None
    store: bool | None = Field(None, description="Nothing is kept beyond the answer.")


class IgnoredOfPromptCache(RequestBody):
    prompt_cache_key: str | None = Field(None, description="What prompts have in common is found without it.")
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None


class IgnoredByGeneration(IgnoredFields, IgnoredOfPromptCache):
    """Of chat and completions."""

    prediction: dict[str, Any] | None = Field(None, description="A hint for speed.")
    guided_decoding_backend: str | None = None


class IgnoredByChat(IgnoredByGeneration):
    reasoning_effort: str | None = None
    verbosity: str | None = None
    include_reasoning: bool | None = None


class IgnoredByResponses(IgnoredAnywhere, IgnoredOfPromptCache):
    access_programs: dict[str, Any] | None = None
    background_options: dict[str, Any] | None = None
    context_management: list[dict[str, Any]] | None = Field(None, description="Nothing is compacted.")
    image: dict[str, Any] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = Field(None, description="file_search searches once.")
    reasoning: dict[str, Any] | None = Field(None, description="Models here do not think apart from their answer.")
    truncation: Literal["auto", "disabled"] | None = Field(None, description="A conversation is never cut.")


class NeutralInResponses(RequestBody):
    conversation: Annotated[None, Refused("it is not supported; use previous_response_id")] = None
    moderation: Annotated[None, Refused("nothing is moderated here")] = None
    prompt: Annotated[None, Refused("there are no prompt templates here; send instructions and input")] = None


class NeutralOnly(RequestBody):
    """Of chat and completions: fields that would change the answer, with the values that do not."""

    best_of: Annotated[Literal[1] | None, Refused("only 1 is supported; ask for n choices and take the best")] = None
    use_beam_search: Annotated[_AlwaysFalse, _ONE_SEARCH] = None
    length_penalty: Annotated[_One, _ONE_SEARCH] = None
    spaces_between_special_tokens: Annotated[_AlwaysTrue, Refused("they are as the tokenizer writes them")] = None
    detokenize: Annotated[_AlwaysTrue, Refused("answers are text; /v1/tokenize makes tokens of it")] = None
    return_token_ids: Annotated[
        _AlwaysFalse, Refused("it is not supported; log-probabilities name tokens with return_tokens_as_token_ids")
    ] = None
    logits_processors: Annotated[None, Refused("no code of a request is run")] = None
    structural_tag: Annotated[None, Refused("it is not supported; use tools, or structured_outputs")] = None
    cache_salt: Annotated[None, Refused("it is not supported; what is cached is not split by request")] = None
    kv_transfer_params: Annotated[None, Refused("keys and values are not moved between servers")] = None
    vllm_xargs: Annotated[_NoObject, Refused("there are no extensions to give arguments to")] = None


class NeutralInChat(NeutralOnly):
    echo: Annotated[_AlwaysFalse, Refused("an answer has no question in it; /v1/completions echoes a prompt")] = None
    modalities: Annotated[list[Literal["text"]] | None, Refused('answers are text: only ["text"] is supported')] = None
    audio: Annotated[None, Refused("answers are text")] = None
    moderation: Annotated[None, Refused("nothing is moderated here")] = None
    web_search_options: Annotated[
        None, Refused("nothing is searched on the web; models that begin with rag/ answer from documents")
    ] = None
    functions: Annotated[_NoObject | _NoText, Refused("it is not supported; use tools")] = None
    function_call: Annotated[Literal["none"] | None, Refused("it is not supported; use tool_choice")] = None
    add_special_tokens: Annotated[_AlwaysFalse, Refused("the chat template says which special tokens there are")] = None
    documents: Annotated[_NoObject | _NoText, Refused("it is not supported; retrieve, or put them into a message")] = (
        None
    )
    mm_processor_kwargs: Annotated[_NoObject, Refused("messages are text")] = None
    media_io_kwargs: Annotated[_NoObject, Refused("messages are text")] = None


class NeutralInCompletions(NeutralOnly):
    suffix: Annotated[Literal[""] | None, Refused("text is only continued, not filled in")] = None
    add_special_tokens: Annotated[_AlwaysTrue, Refused("a prompt begins as the model's texts begin")] = None


class NeutralInEmbeddings(RequestBody):
    add_special_tokens: Annotated[_AlwaysTrue, Refused("texts are read as the model was trained to")] = None
    use_activation: Annotated[_AlwaysTrue, Refused("vectors have unit length")] = None
    normalize: Annotated[_AlwaysTrue, Refused("vectors have unit length")] = None
    embed_dtype: Annotated[Literal["float32"] | None, Refused("vectors are float32")] = None
    endianness: Annotated[Literal["native", "little"] | None, Refused("base64 is of little-endian float32")] = None


class NeutralInScoring(RequestBody):
    """Of rerank and score."""

    truncate_prompt_tokens: Annotated[None, Refused("a text is cut only where the model reads no more")] = None
    truncation_side: Annotated[Literal["right"] | None, Refused("what is too long is cut at its end")] = None
    max_tokens_per_query: Annotated[_Zero, Refused("a text is cut only where the model reads no more")] = None
    use_activation: Annotated[_AlwaysTrue, _ACTIVATION] = None
    activation: Annotated[_AlwaysTrue, _ACTIVATION] = None
    softmax: Annotated[_AlwaysTrue, _ACTIVATION] = None
    instruction: Annotated[Literal[""] | None, Refused("it is not supported; put it into the query")] = None
    chat_template_kwargs: Annotated[_NoObject, Refused("texts are scored without a template")] = None
    mm_processor_kwargs: Annotated[_NoObject, Refused("only texts are scored")] = None


class NeutralInRerank(NeutralInScoring):
    rank_fields: Annotated[_NoText, Refused("documents are texts, without fields")] = None
    max_chunks_per_doc: Annotated[None, Refused("a document is scored as one text")] = None


class NeutralInScore(NeutralInScoring):
    max_tokens_per_doc: Annotated[_Zero, Refused("a text is cut only where the model reads no more")] = None


class NeutralInTokenize(RequestBody):
    return_token_strs: Annotated[_AlwaysFalse, Refused("tokens are numbers; /v1/detokenize makes text of them")] = None
    mm_processor_kwargs: Annotated[_NoObject, Refused("messages are text")] = None
    media_io_kwargs: Annotated[_NoObject, Refused("messages are text")] = None
