"""The process that tries constraints out: one line of JSON in for each, why it cannot be followed, or null, out.

llguidance bounds what it does with a grammar, and not how it gets from a schema to one: 60 patterns under `allOf`
take memory and time without end, in native code that nothing can stop. Here the kernel stops it, and the engine lives.
"""

import json
import resource
import signal
import sys

from plait.engines.constraint import Constraint, guidance_grammar

MEMORY_BYTES = 2**30
CPU_SECONDS = 1.0


def main() -> None:
    """Answer until the other side is gone; die where a constraint takes more than its memory or its time."""
    from llguidance import LLMatcher

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which closes our input
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            grammar = guidance_grammar(Constraint(**json.loads(line)))
            is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar)
            reason = messages[0] if is_error else None
        except ValueError as error:
            reason = str(error)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(reason), flush=True)


if __name__ == "__main__":
    main()
