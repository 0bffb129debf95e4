"""The benchmark in the terminal: progress while it runs, and the tables at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

from bench import bars, rows
from bench.figures import Figures
from bench.results import Measurement, Section
from bench.shapes import Shape


class Display:
    """Progress on standard error: a moving line in a terminal, a line per finished measurement anywhere."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def start_rounds(self, total: int) -> None:
        """From now on the bar counts measurements."""
        self._progress.update(self._task, total=total, completed=0)

    def reached(self, number: int) -> None:
        """Let the bar stand at this number."""
        self._progress.update(self._task, completed=number)

    def step(self, text: str) -> None:
        """Say what is being done right now."""
        self._progress.update(self._task, description=escape(text))

    def note(self, text: str) -> None:
        """Say something that stays on the screen."""
        self.step(text)
        self._console.print(escape(text), highlight=False)

    def round_done(self, round_: str, name: str, shape: Shape, figures: Figures) -> None:
        """Count a measurement and show its main figures."""
        self._progress.advance(self._task)
        rates = f"{figures.accepted_per_s:>7,.0f} accepted/s{figures.committed_per_s:>7,.0f} committed/s"
        worked = f"{figures.worked_p99_ms:>9,.1f} ms to commit (p99)"
        self._console.print(
            f"{round_} {name:<18}{shape.key:<10}{worked if shape.paced else rates} p99{figures.p99_ms:>6,.0f} ms",
            highlight=False,
            soft_wrap=True,
        )

    def round_failed(self, round_: str, name: str, reason: str, missing: int) -> None:
        """Count what could not be measured, and say why."""
        self._progress.advance(self._task, missing)
        self._console.print(f"{round_}  {name:<18}[red]failed:[/] {escape(reason)}")


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
    """Print the tables and the chart, and below them whatever makes them doubtful."""
    for section in measurement.sections:
        if section.results:
            console.print(_table(section))
    console.print(bars.text(bars.panels(measurement)), highlight=False)
    console.print(
        f"Rounds: {measurement.rounds}. Figures are medians; refused, lost and wrong are sums. The worker's CPU"
        f" includes the clock's. It took {measurement.took / 60:.1f} minutes.",
        style="dim",
        highlight=False,
    )
    print_warnings(console, rows.warnings(measurement))


def print_warnings(console: Console, sentences: Sequence[str]) -> None:
    """Print what must be known before a number is quoted."""
    for sentence in sentences:
        console.print(f"[yellow]{escape(sentence)}[/]", highlight=False)


def _table(section: Section) -> Table:
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=section.shape.title, title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for name in rows.names(section):
        # The longest name is broken at its hyphen, so that all contestants fit into 80 columns.
        table.add_column(name.replace("-", "-\n"), justify="right", no_wrap=True)
    for row in rows.figure_rows(section):
        label = f"  {row.label}" if row.detail else row.label
        table.add_row(label, *row.cells, style="dim" if row.detail else "")
    for peer in rows.references(section):
        table.add_section()
        table.add_row(f"[bold]times better than {peer.name}[/]")
        for row in rows.ratio_rows(section, peer):
            table.add_row(f"  {row.label}", *row.cells)
    return table
