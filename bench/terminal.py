"""The benchmark in the terminal: progress while it runs, and the table at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from bench import rows
from bench.figures import Figures, Measurement


class Display:
    """Progress on standard error: a moving line in a terminal, a line per round anywhere."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def start_rounds(self, total: int) -> None:
        """From now on the bar counts rounds."""
        self._progress.update(self._task, total=total, completed=0)

    def step(self, text: str) -> None:
        """Say what is being done right now."""
        self._progress.update(self._task, description=escape(text))

    def note(self, text: str) -> None:
        """Say that something begins which takes longer than usual; it stays on the screen."""
        self.step(text)
        self._console.print(escape(text), highlight=False)

    def round_done(self, number: int, of: int, name: str, figures: Figures) -> None:
        """Count a round and show its main figures."""
        self._progress.advance(self._task)
        self._console.print(
            f"round {number}/{of}  {name:<18}{figures.accepted_per_s:>7,.0f} accepted/s"
            f"{figures.committed_per_s:>7,.0f} committed/s  p99{figures.p99_ms:>6.1f} ms",
            highlight=False,
        )

    def round_failed(self, number: int, of: int, name: str, reason: str) -> None:
        """Count a round that could not be measured, and say why."""
        self._progress.advance(self._task)
        self._console.print(f"round {number}/{of}  {name:<18}[red]failed:[/] {escape(reason)}")


@contextmanager
def display(console: Console) -> Iterator[Display]:
    """Show progress until the block ends."""
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Display(console, progress)


def print_result(console: Console, measurement: Measurement) -> None:
    """Print the table, and below it whatever makes it doubtful."""
    if measurement.measured:
        console.print(_table(measurement))
        _print_reading(console, measurement)
    for warning in rows.warnings(measurement):
        console.print(f"[yellow]{escape(warning)}[/]", highlight=False)


def _print_reading(console: Console, measurement: Measurement) -> None:
    console.print(
        f"{measurement.events:,} orders over {measurement.connections} connections after a warm-up"
        f" of {measurement.warm_up:,}, rounds: {measurement.rounds}. Figures are medians;"
        " refused, lost and wrong are sums. The worker's CPU includes the clock's.",
        style="dim",
        highlight=False,
    )


def _table(measurement: Measurement) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for result in measurement.measured:
        table.add_column(result.name, justify="right", no_wrap=True)
    for row in rows.figure_rows(measurement):
        label = f"  {row.label}" if row.detail else row.label
        table.add_row(label, *row.cells, style="dim" if row.detail else "")
    for peer in rows.peer_names(measurement):
        table.add_section()
        table.add_row(f"[bold]times better than {peer}[/]")
        for row in rows.ratio_rows(measurement, peer):
            table.add_row(f"  {row.label}", *row.cells)
    return table
