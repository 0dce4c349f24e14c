"""Lines and tables of the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cortex.observers import epoch_line


class EpochLines:
    """Writes a line to standard error for each epoch that is done; an observer for where no bar can be shown."""

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs = epochs

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Write the line if the record completes an epoch."""
        if record["epoch_complete"]:
            print(epoch_line(record, self.epochs), file=sys.stderr, flush=True)


def rows(title: str, entries: Mapping[str, str], to_stderr: bool = False) -> None:
    """Print names and values as a table of two columns."""
    table(("", title), list(entries.items()), to_stderr)


def table(header: Sequence[str], body: Sequence[Sequence[str]], to_stderr: bool = False) -> None:
    """Print a table; its first column names the row."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, show_header=any(header), pad_edge=False, header_style="bold")
    for number, title in enumerate(header):
        made.add_column(title, style="dim" if number == 0 else None, overflow="fold")
    for row in body:
        made.add_row(*map(Text, row))  # text, not markup: names may hold brackets
    Console(stderr=to_stderr, highlight=False).print(made)


def percent(share: float | None) -> str:
    """Return a share in percent with two digits, or a dash."""
    return "-" if share is None else f"{100 * share:.2f} %"


def size(count: int | None) -> str:
    """Return a number of bytes in MiB."""
    return "-" if count is None else f"{count / 2**20:,.0f} MiB"


def duration(seconds: float) -> str:
    """Return seconds in the largest unit that fits."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def workers(processes: int, threads: int) -> str:
    """Return how many threads there are, and in how many processes where there are several."""
    each = f"{threads} thread{'s' * (threads != 1)}"
    return each if processes == 1 else f"{processes} processes, {each} in each"
