"""Chat formats: from messages to the text that a model continues.

A model's own template is used where it has one; a base model gets the format `plain`. The format travels with an
adapter, because an adapter answers well only in the form it was trained in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from plait.errors import InvalidInput, did_you_mean
from plait.models.chat_template import render_template
from plait.models.message import Message
from plait.models.special_tokens import special_tokens
from plait.models.tools import Tool, in_words

_REASONING = ("reasoning_content", "reasoning", "thinking")
"""What templates call it: those of Qwen 3 and GLM 4.5, of Nemotron, of gpt-oss."""
_HERE = "CONTINUE_FROM_HERE"
"""Marks the end of a message while it is rendered; what comes behind it is the template's."""
OWN_VARIABLES = frozenset(
    (
        *("messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "chat_template"),
        *("tokenize", "bos_token", "eos_token", "self", "loop", "caller", "range", "dict", "namespace", "cycler"),
        *("joiner", "lipsum", "raise_exception", "strftime_now"),
    )
)
"""Names in a template that are not a request's to set: what is rendered, and what Jinja and transformers put there."""


def text_length(messages: Sequence[Message], tools: Sequence[Tool] = ()) -> int:
    """Characters of what was said and of what may be called: a prompt of them has about as many."""
    said = sum(len(m.content) + sum(len(c.name) + len(c.arguments) for c in m.tool_calls) for m in messages)
    return said + sum(len(tool.name) + len(tool.description) + len(tool.parameters) for tool in tools)


class ChatFormat(BaseModel):
    """A Jinja chat template, the strings that end an answer, and the special tokens that contents must not forge."""

    model_config = ConfigDict(frozen=True)

    name: str
    template: str
    stop: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = Field((), max_length=64)
    """Besides the end-of-sequence token: texts at which generation stops."""
    bos_token: str = ""
    eos_token: str = ""
    special_tokens: tuple[Annotated[str, Field(min_length=2)], ...] = ()

    def render(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = True,
        tools: Sequence[Tool] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation; ends where the assistant's next words begin if `add_generation_prompt`.

        Tools go to the template where it takes any, else in words into the system message. Special tokens inside a
        message are broken up: neither a user nor a retrieved document nor a tool can end a turn. `variables` are the
        template's own, as `enable_thinking`; none of `OWN_VARIABLES`.

        Raises:
            InvalidInput: when the template cannot write this conversation.
        """
        takes_tools = "tools" in self.template
        forged = special_tokens(self.special_tokens)  # looked up once: that hashes thousands of tokens
        spoken = messages if takes_tools else in_words(messages, tools)
        return render_template(
            self.template,
            messages=[forged.break_up(_for_template(m)) for m in spoken],
            tools=[forged.break_up(tool.as_template()) for tool in tools] if takes_tools and tools else None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            bos_token=self.bos_token,
            eos_token=self.eos_token,
            **forged.break_up(dict(variables or {})),
        )

    def render_open(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), variables: Mapping[str, Any] | None = None
    ) -> str:
        """The text of a conversation up to the last word of its last message, which the model goes on with.

        Raises:
            InvalidInput: when the template cannot write this conversation, or writes its last message in other words.
        """
        *before, last = messages
        marked = replace(last, content=f"{last.content}{_HERE} ")  # the space shows whether the template keeps spaces
        rendered = self.render([*before, marked], False, tools, variables)
        at = rendered.rfind(_HERE)
        if not last.content.strip() or at < 0:
            raise InvalidInput(
                "The last message cannot be continued: it is empty, or the chat template changes its text.",
                "Send a last message with text, or leave out continue_final_message.",
            )
        keeps_spaces = rendered.startswith(f"{_HERE} ", at)
        return rendered[:at] if keeps_spaces else rendered[:at].rstrip()

    def quoted(self, value: Any) -> Any:
        """The same JSON value, in which no text holds a special token."""
        return special_tokens(self.special_tokens).break_up(value)

    def check(self) -> None:
        """Render the conversations that every template must know: one that cannot write any makes each request fail.

        A template may refuse some (Gemma's has no system messages); it is refused itself when it refuses all of them.

        Raises:
            InvalidInput: why the plainest of them cannot be written.
        """
        question, answer = Message("user", "Which version is it?"), Message("assistant", "It is the third.")
        refusals = []
        for messages in ([question], [Message("system", "Be brief."), question], [question, answer, question]):
            try:
                if self.render(messages).strip():
                    return
                raise InvalidInput("The chat template writes nothing.")
            except InvalidInput as error:
                refusals.append(error)
        raise refusals[0]


def _for_template(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        fields["tool_calls"] = [call.as_template() for call in message.tool_calls]
    if message.tool_call_id:
        fields["tool_call_id"] = message.tool_call_id
    if message.name:
        fields["name"] = message.name
    if message.reasoning:
        fields |= dict.fromkeys(_REASONING, message.reasoning)
    return fields


PLAIN_TEMPLATE = """\
{%- for message in messages -%}
{%- if not loop.first %}{{ '\\n' }}{% endif -%}
{%- if message.role == 'system' -%}{{ message.content }}{{ '\\n' }}
{%- elif message.role == 'user' -%}Question: {{ message.content }}
{%- else -%}Answer: {{ message.content }}{{ eos_token }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{%- if messages -%}{{ '\\n' }}{%- endif -%}Answer:{%- endif -%}"""

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
    """Every string that the tokenizer turns into a control token."""
    control = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted(t for t in control | set(tokenizer.all_special_tokens) if len(t) > 1))
