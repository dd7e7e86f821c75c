"""How a conversation is written for the model, in vLLM's fields.

In: fields of a body. Out: what `Call` takes. The template itself, and the names that it and the rendering own, are not
a request's to change.
"""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from plait.models.chat import OWN_VARIABLES
from plait.serve.api.request_body import Refused, RequestBody, does_not_fit


class TemplateFields(RequestBody):
    """Of chat, and of the tokens of a conversation."""

    add_generation_prompt: bool = Field(True, description="End where the assistant's answer begins.")
    continue_final_message: bool = Field(False, description="The model goes on with the last message.")
    chat_template_kwargs: dict[str, Any] = Field({}, description="Variables of the model's chat template.")
    chat_template: Annotated[None, Refused("the template is the model's; the server's chat_format changes it")] = None

    @field_validator("chat_template_kwargs")
    @classmethod
    def _leaves_the_renderings_own(cls, variables: dict[str, Any]) -> dict[str, Any]:
        if own := sorted(OWN_VARIABLES & variables.keys()):
            raise ValueError(f"'{own[0]}' is not a variable of the template that a request may set")
        return variables

    @model_validator(mode="after")
    def _ends_in_one_place(self) -> Self:
        is_asked_for = self.add_generation_prompt and "add_generation_prompt" in self.model_fields_set
        if self.continue_final_message and is_asked_for:
            raise does_not_fit(
                "continue_final_message",
                "continue_final_message goes on with the last message; send add_generation_prompt: false",
            )
        return self

    @property
    def template(self) -> dict[str, Any]:
        """The fields of `Call`."""
        return {
            "template_variables": self.chat_template_kwargs,
            "add_generation_prompt": self.add_generation_prompt and not self.continue_final_message,
            "continue_final_message": self.continue_final_message,
        }
