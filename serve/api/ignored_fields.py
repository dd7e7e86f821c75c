"""Fields of other servers' requests that change nothing here: OpenAI's, vLLM's, Cohere's, and what their clients send.

Each is accepted with its type and ignored, or accepted with the values that change nothing and refused with any other.
docs/serve.md lists them. What a client sends beyond them is refused by name.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from plait.serve.api.request_body import Refused, RequestBody

_AlwaysTrue = Literal[True] | None
_AlwaysFalse = Literal[False] | None
_NoInteger = Annotated[list[int], Field(max_length=0)] | None
_NoText = Annotated[list[str], Field(max_length=0)] | None
_NoObject = Annotated[dict[str, Any], Field(max_length=0)] | None
_One = Annotated[float, Field(ge=1, le=1)] | None
_Zero = Annotated[int, Field(ge=0, le=0)] | None
_USE_RESPONSE_FORMAT = Refused("it is not supported; use response_format of chat")
_ONE_SEARCH = Refused("beam search is not supported; ask for n choices")
_SPECIAL_TOKENS = Refused("special tokens are always left out of the text")


class IgnoredFields(RequestBody):
    """Of every route that runs a model."""

    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = Field(None, description="Nothing is kept beyond the answer.")
    service_tier: str | None = None
    safety_identifier: str | None = None
    priority: int | None = Field(None, description="Requests are served in the order in which they come.")


class IgnoredByGeneration(IgnoredFields):
    """Of chat and completions."""

    prompt_cache_key: str | None = Field(None, description="What prompts have in common is found without it.")
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = Field(None, description="A hint for speed.")
    guided_decoding_backend: str | None = None


class IgnoredByChat(IgnoredByGeneration):
    reasoning_effort: str | None = None
    verbosity: str | None = None
    include_reasoning: bool | None = None


class NeutralOnly(RequestBody):
    """Of chat and completions: fields that would change the answer, with the values that do not."""

    best_of: Annotated[Literal[1] | None, Refused("only 1 is supported; ask for n choices and take the best")] = None
    echo: Annotated[_AlwaysFalse, Refused("only false is supported; put the prompt before the answer yourself")] = None
    use_beam_search: Annotated[_AlwaysFalse, _ONE_SEARCH] = None
    length_penalty: Annotated[_One, _ONE_SEARCH] = None
    min_tokens: Annotated[_Zero, Refused("only 0 is supported; ignore_eos goes on to max_tokens")] = None
    stop_token_ids: Annotated[_NoInteger, Refused("it is not supported; stop takes strings")] = None
    bad_words: Annotated[_NoText, Refused("it is not supported; logit_bias takes tokens away")] = None
    allowed_token_ids: Annotated[_NoInteger, Refused("it is not supported; use logit_bias or response_format")] = None
    include_stop_str_in_output: Annotated[_AlwaysFalse, Refused("a stop string is always left out")] = None
    skip_special_tokens: Annotated[_AlwaysTrue, _SPECIAL_TOKENS] = None
    spaces_between_special_tokens: Annotated[_AlwaysTrue, _SPECIAL_TOKENS] = None
    detokenize: Annotated[_AlwaysTrue, Refused("answers are text; /v1/tokenize makes tokens of it")] = None
    truncate_prompt_tokens: Annotated[None, Refused("a prompt is never cut; shorten it yourself")] = None
    prompt_logprobs: Annotated[None, Refused("only the answer has log-probabilities here")] = None
    return_tokens_as_token_ids: Annotated[_AlwaysFalse, Refused("tokens are reported as text")] = None
    return_token_ids: Annotated[_AlwaysFalse, Refused("tokens are reported as text")] = None
    logits_processors: Annotated[None, Refused("no code of a request is run")] = None
    guided_json: Annotated[None, _USE_RESPONSE_FORMAT] = None
    guided_regex: Annotated[None, _USE_RESPONSE_FORMAT] = None
    guided_choice: Annotated[None, _USE_RESPONSE_FORMAT] = None
    guided_grammar: Annotated[None, _USE_RESPONSE_FORMAT] = None
    guided_whitespace_pattern: Annotated[None, _USE_RESPONSE_FORMAT] = None
    structural_tag: Annotated[None, _USE_RESPONSE_FORMAT] = None
    structured_outputs: Annotated[None, _USE_RESPONSE_FORMAT] = None
    cache_salt: Annotated[None, Refused("it is not supported; what is cached is not split by request")] = None
    kv_transfer_params: Annotated[None, Refused("keys and values are not moved between servers")] = None
    vllm_xargs: Annotated[_NoObject, Refused("there are no extensions to give arguments to")] = None


class NeutralInChat(NeutralOnly):
    modalities: Annotated[list[Literal["text"]] | None, Refused('answers are text: only ["text"] is supported')] = None
    audio: Annotated[None, Refused("answers are text")] = None
    moderation: Annotated[None, Refused("nothing is moderated here")] = None
    web_search_options: Annotated[
        None, Refused("nothing is searched on the web; models that begin with rag/ answer from documents")
    ] = None
    functions: Annotated[_NoObject | _NoText, Refused("it is not supported; use tools")] = None
    function_call: Annotated[Literal["none"] | None, Refused("it is not supported; use tool_choice")] = None
    add_generation_prompt: Annotated[_AlwaysTrue, Refused("the model always answers in a turn of its own")] = None
    continue_final_message: Annotated[
        _AlwaysFalse, Refused("the last message is never continued; /v1/completions continues a text")
    ] = None
    add_special_tokens: Annotated[_AlwaysFalse, Refused("the chat template says which special tokens there are")] = None
    documents: Annotated[_NoObject | _NoText, Refused("it is not supported; retrieve, or put them into a message")] = (
        None
    )
    chat_template: Annotated[None, Refused("the template is the model's; the server's chat_format changes it")] = None
    chat_template_kwargs: Annotated[_NoObject, Refused("templates take no arguments of a request")] = None
    mm_processor_kwargs: Annotated[_NoObject, Refused("messages are text")] = None
    media_io_kwargs: Annotated[_NoObject, Refused("messages are text")] = None


class NeutralInCompletions(NeutralOnly):
    suffix: Annotated[Literal[""] | None, Refused("text is only continued, not filled in")] = None
    add_special_tokens: Annotated[_AlwaysTrue, Refused("a prompt begins as the model's texts begin")] = None


class NeutralInEmbeddings(RequestBody):
    add_special_tokens: Annotated[_AlwaysTrue, Refused("texts are read as the model was trained to")] = None
    truncate_prompt_tokens: Annotated[None, Refused("a text is never cut; shorten it, or split it")] = None
    normalize: Annotated[_AlwaysTrue, Refused("vectors have unit length")] = None
    embed_dtype: Annotated[Literal["float32"] | None, Refused("vectors are float32")] = None
    endianness: Annotated[Literal["native", "little"] | None, Refused("base64 is of little-endian float32")] = None


class NeutralInRerank(RequestBody):
    rank_fields: Annotated[_NoText, Refused("documents are texts, without fields")] = None
    max_chunks_per_doc: Annotated[None, Refused("a document is scored as one text")] = None
    truncate_prompt_tokens: Annotated[None, Refused("use max_tokens_per_doc")] = None


class NeutralInTokenize(RequestBody):
    return_token_strs: Annotated[_AlwaysFalse, Refused("tokens are numbers; /v1/detokenize makes text of them")] = None
    add_generation_prompt: Annotated[_AlwaysTrue, Refused("a conversation is rendered as chat renders it")] = None
    continue_final_message: Annotated[_AlwaysFalse, Refused("a conversation is rendered as chat renders it")] = None
    chat_template: Annotated[None, Refused("the template is the model's")] = None
    chat_template_kwargs: Annotated[_NoObject, Refused("templates take no arguments of a request")] = None
    mm_processor_kwargs: Annotated[_NoObject, Refused("messages are text")] = None
    media_io_kwargs: Annotated[_NoObject, Refused("messages are text")] = None
