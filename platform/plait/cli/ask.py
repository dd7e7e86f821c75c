"""`plait ask`: one question to a running server."""

import typer


def ask(
    question: str = typer.Argument(help="What to ask."),
    model: str = typer.Option("rag/base", help="base, an adapter, or rag/ before either."),
    max_tokens: int = typer.Option(64, min=1, help="Longest answer."),
    url: str = typer.Option(None, help="The server; default: this machine's."),
) -> None:
    """Ask a running server a question and show what the answer was given from.

    Example: `plait ask "which version of ray is installed?" --model rag/base`
    """
    from rich.console import Console
    from rich.markup import escape

    from plait.chat_client import ask as ask_server
    from plait.settings import settings

    base = url or f"http://{settings().bind}:{settings().http_port}"
    answer = ask_server(base, model, question, max_tokens)
    console = Console()
    console.print(escape(answer.text) or "[dim](no answer)[/dim]")
    for number, citation in enumerate(answer.citations, start=1):
        console.print(f"[dim]\\[{number}] {escape(citation.source)}  score {citation.score:.2f}[/dim]")
    console.print(f"[dim]{answer.model}  {answer.total_ms:.0f} ms[/dim]")
