"""`plait ask`: one question to a running server."""

from typing import Any

import typer


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
    from plait.recipes import apply_override
    from plait.settings import settings

    base = url or f"http://{settings().bind}:{settings().http_port}"
    how: dict[str, Any] = {}
    for override in retrieval or []:
        apply_override(how, override)
    answer = ask_server(base, model, question, max_tokens, how)
    console = Console()
    console.print(escape(answer.text) or "[dim](no answer)[/dim]")
    for number, citation in enumerate(answer.citations, start=1):
        place = " > ".join(part for part in (citation.source, citation.heading) if part)
        quote = f'  "{" ".join(citation.quote.split())}"' if citation.quote else ""
        console.print(f"[dim]\\[{number}] {escape(place)}  score {citation.score:.2f}{escape(quote)}[/dim]")
    console.print(f"[dim]{answer.model}  {answer.total_ms:.0f} ms[/dim]")
