"""Whether a constraint can be followed, found out where it can harm nobody: in a process with limits.

In: a constraint that a request sent. Out: the constraint as an engine may have it, or the reason why not. Knows no
tokens.
"""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import lru_cache

from plait.engines.constraint import Constraint
from plait.engines.constraint_process import CPU_SECONDS, MEMORY_BYTES
from plait.engines.json_schema import without_annotations
from plait.errors import InvalidInput

_AT_ONCE = 2
_MAX_CHARACTERS = 64 * 1024
"""Of a constraint that is no JSON schema; those have a limit of their own."""


class ConstraintCheck:
    """Checks constraints, two at a time, each in a process that outlives it unless it was too much."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="constraints")
        self._mine = threading.local()

    def close(self) -> None:
        """End the threads, and with each its process, which has nobody to read from any more."""
        self.threads.shutdown(wait=False)

    async def check(self, constraint: Constraint) -> Constraint:
        """A constraint that can be followed, as the engine may have it.

        Raises:
            InvalidInput: when it is not of its kind, asks for something that a grammar cannot say, or takes too much.
        """
        return await asyncio.get_running_loop().run_in_executor(self.threads, self.check_in_this_thread, constraint)

    def check_in_this_thread(self, constraint: Constraint) -> Constraint:
        """The same, for a caller in one of `threads`."""
        if constraint.kind == "json_schema":
            constraint = replace(constraint, text=without_annotations(constraint.text, _knows_format))
        elif len(constraint.text) > _MAX_CHARACTERS:
            raise InvalidInput(
                f"The {constraint.name} has {len(constraint.text)} characters; at most {_MAX_CHARACTERS} are taken.",
                "Make it shorter.",
            )
        process = self._process()
        try:
            print(json.dumps(asdict(constraint)), file=process.stdin, flush=True)
            answer = process.stdout.readline() if process.stdout else ""
        except BrokenPipeError:
            answer = ""
        if not answer:
            process.kill()
            process.communicate()
            raise InvalidInput(
                f"The {constraint.name} is too complex: finding out whether it can be followed takes more than "
                f"{CPU_SECONDS:g} s or {MEMORY_BYTES >> 20} MiB.",
                "Use fewer patterns and references under allOf."
                if constraint.kind == "json_schema"
                else "Simplify it.",
            )
        reason: str | None = json.loads(answer)
        if reason is not None:
            raise cannot_follow(constraint, reason)
        return constraint

    def _process(self) -> "subprocess.Popen[str]":
        """The process of this thread; a new one where there is none, or the last one is gone."""
        process: subprocess.Popen[str] | None = getattr(self._mine, "process", None)
        if process is None or process.poll() is not None:
            process = self._mine.process = subprocess.Popen(
                [sys.executable, "-m", "plait.engines.constraint_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        return process


def cannot_follow(constraint: Constraint, reason: str) -> InvalidInput:
    """A constraint that the library refuses, in its words."""
    sentence = " ".join(reason.split()).rstrip(".")[:200]
    return InvalidInput(f"The {constraint.name} cannot be followed ({sentence}).", "Change or leave out what is named.")


@lru_cache(256)
def _knows_format(name: str) -> bool:
    from llguidance import LLMatcher

    grammar = LLMatcher.grammar_from_json_schema(json.dumps({"type": "string", "format": name}))
    return not LLMatcher.validate_grammar(grammar)
