"""`plait ask`: one question to a running server."""

import re
from typing import Any

import typer
from typer.core import TyperCommand

_QUOTE = "\N{NULL}"
_OPTION = re.compile(r"--?[A-Za-z][A-Za-z-]*(=|$)")


class AskCommand(TyperCommand):
    """A question may begin with a dash, as `-5?` and `-h is help?`: what has not the form of an option is none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Mark such a question, so that the parser takes it for an argument."""
        with_value = {name for each in self.params if not getattr(each, "is_flag", False) for name in each.opts}
        before = ["", *args]  # the value of an option is left as it is
        marked = [
            _QUOTE + each if _is_text(each) and last not in with_value else each
            for last, each in zip(before, args, strict=False)
        ]
        return super().parse_args(ctx, marked)


def _is_text(argument: str) -> bool:
    return argument.startswith("-") and argument != "--" and _OPTION.match(argument) is None


def ask(
    question: str = typer.Argument(help="What to ask."),
    retrieval: list[str] = typer.Argument(None, help="How to retrieve: top_k=5, mode=hybrid, filter=..., …"),
    model: str = typer.Option("rag/base", help="base, an adapter, or rag/ before either."),
    max_tokens: int = typer.Option(64, min=1, help="Longest answer."),
    url: str = typer.Option(None, help="The server; default: this machine's."),
) -> None:
    """Ask a running server a question and show what the answer was given from.

    Example: `plait ask "which version of ray is installed?" mode=hybrid top_k=5 --model rag/base`
    """
    from rich.console import Console
    from rich.markup import escape

    from plait.chat_client import ask as ask_server
    from plait.chat_client import server_url
    from plait.recipes import apply_override
    from plait.retrieval.request import Retrieval

    question = question.removeprefix(_QUOTE)
    retrieval = [each.removeprefix(_QUOTE) for each in retrieval or []]
    how: dict[str, Any] = {}
    for override in retrieval:
        apply_override(how, override, Retrieval)
    answer = ask_server(url or server_url(), model, question, max_tokens, how)
    console = Console()
    console.print(escape(answer.text) or "[dim](no answer)[/dim]")
    for number, citation in enumerate(answer.citations, start=1):
        place = " > ".join(part for part in (citation.source, citation.heading) if part)
        quote = f'  "{" ".join(citation.quote.split())}"' if citation.quote else ""
        console.print(f"[dim]\\[{number}] {escape(place)}  score {citation.score:.2f}{escape(quote)}[/dim]")
    console.print(f"[dim]{answer.model}  {answer.total_ms:.0f} ms[/dim]")
