"""What `plait --help` shows: the options and every command with the first sentences of its help.

It looks as Typer's own help of each command does. Typer's own printer would import, for this plain text too, what reads
Markdown and colours tracebacks, which takes as long as everything else that the command does together.
"""

from typing import Any

from typer.core import TyperGroup


class Overview(TyperGroup):
    """The group of all commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the overview to stdout."""
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

        console = Console(highlight=False)
        usage = Text(self.get_usage(ctx), style="bold")
        usage.highlight_words(["Usage:"], "yellow not bold")
        console.print(Padding(usage, 1))
        console.print(Padding(self.help or "", (0, 1, 1, 1)))
        options = [record for parameter in self.get_params(ctx) if (record := parameter.get_help_record(ctx))]
        console.print(_panel("Options", options))
        commands = [(name, command) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        console.print(_panel("Commands", [(name, _summary(command.help or "")) for name, command in commands]))


def _panel(title: str, rows: list[tuple[str, str]]) -> Any:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, expand=True, box=None, pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(ratio=1)
    for name, about in rows:
        table.add_row(Text(name), Text(about))
    return Panel(table, title=title, title_align="left", border_style="dim")


def _summary(text: str) -> str:
    """The first paragraph, in one line."""
    return " ".join(text.partition("\n\n")[0].split())
