"""From a call to the text that the engine continues: passages put in, the conversation in its chat format.

What cannot fit into the context is refused by its length before any of that; what is long is made beside the event
loop. Knows no adapters: which chat format it is, is said with the call.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plait.engines.engine import Engine
from plait.errors import InvalidInput
from plait.index.passage import Passage
from plait.models.chat import ChatFormat, text_length
from plait.models.message import Message
from plait.retrieval.context import with_passages
from plait.serve.messages.calls import Call


@dataclass(frozen=True)
class CallPrompt:
    """The text or the tokens to continue, the passages in it, and where the answer stops."""

    text: str | tuple[int, ...]
    passages: tuple[Passage, ...]
    stop: tuple[str, ...]


class CallPrompts:
    """Makes prompts for one engine.

    Args:
        engine: whose tokens and context they are measured in.
        budget_tokens: that passages of a prompt may take.
    """

    def __init__(self, engine: Engine, budget_tokens: int) -> None:
        self._engine, self._budget_tokens = engine, budget_tokens

    async def make(self, call: Call, chat_format: ChatFormat) -> CallPrompt:
        """The prompt of a call.

        Raises:
            InvalidInput: when it is too long for any context; when no passage fits into the budget.
        """
        prompts = self._engine.prompts
        prompts.check_messages(len(call.messages or ()))
        if call.messages is None:  # what is too long of it, the engine refuses or cuts
            return CallPrompt(call.prompt, (), call.sampling.stop)
        characters = text_length(call.messages, call.tools)
        prompts.check_length(characters)
        characters += sum(len(passage.text) for passage in call.passages) + len(str(call.template_variables))
        return await prompts.beside_the_loop(characters, self._make, call, call.messages, chat_format)

    def _make(self, call: Call, messages: Sequence[Message], chat_format: ChatFormat) -> CallPrompt:
        grounded = with_passages(messages, call.passages, self._budget_tokens, self._engine.count_tokens)
        if call.passages and not grounded.passages:  # an answer without them would look like one from them
            raise InvalidInput(
                f"None of the {len(call.passages)} passages found fits into "
                f"retrieval.budget_tokens={self._budget_tokens}.",
                "Raise it where the server is started, or ingest with a smaller chunk.max_tokens.",
            )
        if call.continue_final_message:
            text = chat_format.render_open(grounded.messages, call.tools, call.template_variables)
        else:
            text = chat_format.render(
                grounded.messages, call.add_generation_prompt, call.tools, call.template_variables
            )
        return CallPrompt(text, grounded.passages, (*call.sampling.stop, *chat_format.stop))
