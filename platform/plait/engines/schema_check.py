"""Whether a JSON schema can be followed, found out where it can harm nobody: in a process with limits.

In: a schema that a request sent. Out: the schema as an engine may have it, or the reason why not. Knows no tokens.
"""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from plait.engines.json_schema import without_annotations
from plait.engines.schema_process import CPU_SECONDS, MEMORY_BYTES
from plait.errors import InvalidInput

_AT_ONCE = 2


class SchemaCheck:
    """Checks schemas, two at a time, each in a process that outlives it unless the schema was too much for it."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="schemas")
        self._mine = threading.local()

    def close(self) -> None:
        """End the threads, and with each its process, which has nobody to read from any more."""
        self.threads.shutdown(wait=False)

    async def check(self, schema: str) -> str:
        """A schema that can be followed, as the engine may have it.

        Raises:
            InvalidInput: when it is not one, asks for something that a grammar cannot say, or takes too much.
        """
        return await asyncio.get_running_loop().run_in_executor(self.threads, self.check_in_this_thread, schema)

    def check_in_this_thread(self, schema: str) -> str:
        """The same, for a caller in one of `threads`."""
        schema = without_annotations(schema, _knows_format)
        process = self._process()
        try:
            print(json.dumps(schema), file=process.stdin, flush=True)
            answer = process.stdout.readline() if process.stdout else ""
        except BrokenPipeError:
            answer = ""
        if not answer:
            process.kill()
            process.communicate()
            raise InvalidInput(
                f"The JSON schema is too complex: finding out whether it can be followed takes more than "
                f"{CPU_SECONDS:g} s or {MEMORY_BYTES >> 20} MiB.",
                "Use fewer patterns and references under allOf.",
            )
        reason: str | None = json.loads(answer)
        if reason is not None:
            raise cannot_follow(reason)
        return schema

    def _process(self) -> "subprocess.Popen[str]":
        """The process of this thread; a new one where there is none, or the last one is gone."""
        process: subprocess.Popen[str] | None = getattr(self._mine, "process", None)
        if process is None or process.poll() is not None:
            process = self._mine.process = subprocess.Popen(
                [sys.executable, "-m", "plait.engines.schema_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        return process


def cannot_follow(reason: str) -> InvalidInput:
    """A schema that the library refuses, in its words."""
    sentence = " ".join(reason.split()).rstrip(".")[:200]
    return InvalidInput(f"The JSON schema cannot be followed ({sentence}).", "Change or leave out what is named.")


@lru_cache(256)
def _knows_format(name: str) -> bool:
    from llguidance import LLMatcher

    grammar = LLMatcher.grammar_from_json_schema(json.dumps({"type": "string", "format": name}))
    return not LLMatcher.validate_grammar(grammar)
