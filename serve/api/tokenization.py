"""/v1/tokenize, /v1/detokenize, /v1/tokenizer_info in vLLM's shape: what the base model reads, and by which tokenizer.

vLLM has them at the root, where they answer, too.
"""

from dataclasses import asdict
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, model_validator

from plait.engines.engine import Sampling
from plait.model_ids import ModelId
from plait.serve.api.generation_requests import MAX_TOOLS, Conversation
from plait.serve.api.ignored_fields import IgnoredFields, NeutralInTokenize
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import RequestBody, does_not_fit
from plait.serve.api.services import Services, services
from plait.serve.api.template_fields import TemplateFields
from plait.serve.api.tool_requests import ToolDefinition
from plait.serve.messages.calls import Call

routes = APIRouter(tags=["tokens"])


class TokenizeRequest(TemplateFields, IgnoredFields, NeutralInTokenize):
    """A `prompt`, or `messages` as chat would render them."""

    model: str = "base"
    prompt: str | None = None
    messages: Conversation | None = None
    tools: list[ToolDefinition] | None = Field(None, max_length=MAX_TOOLS)
    add_special_tokens: bool = Field(True, description="Of a prompt: begin as the model's texts begin.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise does_not_fit("prompt", "either prompt or messages is required")
        return self


class TokenizeResponse(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]


class DetokenizeRequest(RequestBody):
    model: str = "base"
    tokens: list[int] = Field(max_length=1_000_000)


class DetokenizeResponse(BaseModel):
    prompt: str


class TokenizerInfoResponse(BaseModel):
    """As in transformers' tokenizer_config.json; null: the tokenizer has no such token, or the model no template."""

    tokenizer_class: str
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str | None


@routes.post("/tokenize", include_in_schema=False)
@routes.post("/v1/tokenize", responses=errors(404, 503))
async def tokenize(body: TokenizeRequest, services: Annotated[Services, Depends(services)]) -> TokenizeResponse:
    """Count the tokens of a prompt, and say which they are."""
    call = Call(
        model=ModelId.requested(body.model),
        sampling=Sampling(max_tokens=1),
        messages=None if body.messages is None else tuple(message.to_message() for message in body.messages),
        prompt=body.prompt or "",
        tools=tuple(tool.to_tool() for tool in body.tools or ()),
        **body.template,
    )
    tokens = await services.tokenize(call, body.add_special_tokens)
    return TokenizeResponse(count=len(tokens.ids), max_model_len=tokens.max_context_tokens, tokens=list(tokens.ids))


@routes.post("/detokenize", include_in_schema=False)
@routes.post("/v1/detokenize", responses=errors(404, 503))
async def detokenize(body: DetokenizeRequest, services: Annotated[Services, Depends(services)]) -> DetokenizeResponse:
    """The text of tokens."""
    ModelId.requested(body.model)
    return DetokenizeResponse(prompt=await services.detokenize(body.tokens))


@routes.get("/tokenizer_info", include_in_schema=False)
@routes.get("/v1/tokenizer_info", responses=errors(503))
async def tokenizer_info(services: Annotated[Services, Depends(services)]) -> TokenizerInfoResponse:
    """The special tokens and the chat template of the base model."""
    return TokenizerInfoResponse(**asdict(await services.tokenizer_info()))
