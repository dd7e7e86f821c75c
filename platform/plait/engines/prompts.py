"""From a prompt to its tokens, without holding up the event loop that all requests share.

Rendering and tokenizing take time in proportion to a text. So a text that no context could hold is refused by its
length alone, before it is read, and what is long is read in a thread. Knows no chat and no model.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from plait.errors import InvalidInput
from plait.models.tokenizer import encode_prompt

_P = ParamSpec("_P")
_T = TypeVar("_T")
_SHORT_CHARACTERS = 4096
"""A text of this length is rendered and tokenized in about 1 ms, which handing it to a thread may cost as well."""
_THREADS = 2


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it.

    Attributes:
        text: what its tokens say, where it is echoed.
        adds_bos: whether its first token is not of that text: the model's texts begin with it.
    """

    tokens: list[int]
    text: str = ""
    adds_bos: bool = False


class PromptReader:
    """Reads prompts for one tokenizer and one context.

    Args:
        tokenizer: a fast transformers tokenizer.
        max_context_tokens: of prompt and answer together.

    Attributes:
        max_characters: of a prompt. A token stands for no more characters than the longest in the vocabulary, so a
            longer text has more tokens than the context (unless the tokenizer drops characters, as some do with runs
            of spaces: then this is a limit of its own).
        max_messages: of a conversation: each costs a token or more.
    """

    def __init__(self, tokenizer: Any, max_context_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._longest_token = max(map(len, tokenizer.get_vocab()))
        self.max_messages = max_context_tokens
        self.max_characters = max_context_tokens * self._longest_token
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="prompts")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)

    def check_length(self, characters: int) -> None:
        """Refuse a text that cannot fit into the context.

        Raises:
            InvalidInput: with the numbers.
        """
        if characters > self.max_characters:
            raise InvalidInput(
                f"The prompt has {characters} characters, and no more than {self.max_characters} can fit into the "
                f"context of {self.max_messages} tokens, of which the longest has {self._longest_token} characters.",
                "Shorten the prompt.",
            )

    def check_messages(self, messages: int) -> None:
        """Refuse a conversation that cannot fit into the context.

        Raises:
            InvalidInput: with the numbers.
        """
        if messages > self.max_messages:
            raise InvalidInput(
                f"The conversation has {messages} messages, each of a token or more, and the context "
                f"{self.max_messages} tokens.",
                "Leave out the oldest messages.",
            )

    async def read(self, prompt: str | Sequence[int], keep: int | None = None, is_echoed: bool = False) -> Prompt:
        """A text, or tokens, as the model gets it; of more than `keep` tokens the last ones.

        Raises:
            InvalidInput: when a text is too long for any context, or there are no tokens: an empty text of a model
                whose texts begin without a token of their own.
        """
        if isinstance(prompt, str):
            text = prompt if keep is None else prompt[-self.max_characters :]
            self.check_length(len(text))
            tokens = await self.beside_the_loop(len(text), encode_prompt, self._tokenizer, text)
            is_whole = len(text) == len(prompt)
        else:
            text, tokens, is_whole = "", list(prompt), False
        if not tokens:
            raise InvalidInput("The prompt has no tokens.", "Send a text for the model to continue.")
        if keep is not None and len(tokens) > keep:
            tokens, is_whole = tokens[-keep:], False
        if not is_echoed:
            return Prompt(tokens)
        if is_whole:
            bos: str | None = self._tokenizer.bos_token
            begins_so = bos is not None and text.startswith(bos)
            return Prompt(tokens, text, adds_bos=tokens[0] == self._tokenizer.bos_token_id and not begins_so)
        return Prompt(tokens, await self.beside_the_loop(len(tokens), self._tokenizer.decode, tokens))

    async def beside_the_loop(self, characters: int, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `call` returns; it works on a text of so many characters, in a thread if these are many."""
        if characters <= _SHORT_CHARACTERS:
            return call(*args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*args, **kwargs))
