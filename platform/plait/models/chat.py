"""Chat formats: from messages to the text that a model continues.

A model's own template is used where it has one; a base model gets the format `plain`. The format travels with an
adapter, because an adapter answers well only in the form it was trained in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from plait.errors import InvalidInput, did_you_mean

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    role: Role
    content: str


class ChatFormat(BaseModel):
    """A Jinja chat template, the strings that end an answer, and the special tokens that contents must not forge."""

    model_config = ConfigDict(frozen=True)

    name: str
    template: str
    stop: tuple[str, ...] = ()
    """Besides the end-of-sequence token: texts at which generation stops."""
    bos_token: str = ""
    eos_token: str = ""
    special_tokens: tuple[str, ...] = ()

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """The text of a conversation; ends where the assistant's next words begin if `add_generation_prompt`.

        Special tokens inside a message are broken up: neither a user nor a retrieved document can end a turn.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        conversation = [{"role": m.role, "content": self._defuse(m.content)} for m in messages]
        rendered, _ = render_jinja_template(
            [conversation],
            chat_template=self.template,
            add_generation_prompt=add_generation_prompt,
            bos_token=self.bos_token,
            eos_token=self.eos_token,
        )
        text: str = rendered[0]
        return text

    def _defuse(self, content: str) -> str:
        for token in self.special_tokens:
            if token in content:
                content = content.replace(token, f"{token[0]} {token[1:]}")
        return content


PLAIN_TEMPLATE = """\
{%- for message in messages -%}
{%- if not loop.first %}{{ '\\n' }}{% endif -%}
{%- if message.role == 'system' -%}{{ message.content }}{{ '\\n' }}
{%- elif message.role == 'user' -%}Question: {{ message.content }}
{%- else -%}Answer: {{ message.content }}{{ eos_token }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '\\n' }}Answer:{%- endif -%}"""

# A base model goes on with a question of its own after its answer; that is where the answer ends.
FORMATS = {"plain": ChatFormat(name="plain", template=PLAIN_TEMPLATE, stop=("\nQuestion:",))}


def chat_format_for(tokenizer: Any, name: str = "auto") -> ChatFormat:
    """The format to use with a model: `auto` is the tokenizer's own template, or `plain` where it has none.

    Raises:
        InvalidInput: for an unknown name.
    """
    own: str | None = tokenizer.chat_template
    if name == "auto" and own:
        chosen = ChatFormat(name="model", template=own)
    elif name == "auto":
        chosen = FORMATS["plain"]
    elif name in FORMATS:
        chosen = FORMATS[name]
    else:
        raise InvalidInput(f"There is no chat format '{name}'.", did_you_mean(name, ["auto", *FORMATS]))
    return chosen.model_copy(
        update={
            "bos_token": tokenizer.bos_token or "",
            "eos_token": tokenizer.eos_token or "",
            "special_tokens": _special_tokens(tokenizer),
        }
    )


def _special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Every string that the tokenizer turns into a control token, longest first."""
    control = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted((t for t in control | set(tokenizer.all_special_tokens) if len(t) > 1), key=len, reverse=True))
