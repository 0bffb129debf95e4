"""``python -m bench``: measure Millrace and its peers."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from bench import contestants, figures, quick, report, schedules, terminal
from bench.errors import BenchError
from service.local.spawn import LocalError

DEFAULT_NAMES = ",".join(each.name for each in contestants.ALL)


@click.group()
def main() -> None:
    """Measure Millrace and its peers on the same servers, doing the same work."""


@main.command("list")
def list_command() -> None:
    """Say who takes part."""
    width = max(len(each.name) for each in contestants.ALL)
    for each in contestants.ALL:
        click.echo(f"{each.name:<{width}}  {each.title}")


@main.command("quick")
@click.option(
    "--contestants",
    "names",
    default=DEFAULT_NAMES,
    show_default=True,
    help="Who is measured: names, separated by commas.",
)
@click.option(
    "--events",
    default=3000,
    show_default=True,
    type=click.IntRange(100, 1_000_000),
    help="Orders of each round; a tenth of them more is posted as a warm-up.",
)
@click.option(
    "--connections",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Connections that post at the same time.",
)
@click.option(
    "--rounds",
    default=2,
    show_default=True,
    type=click.IntRange(1, 100),
    help="How often each contestant is measured; medians are shown.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write everything that was found into this file.",
)
def quick_command(names: str, events: int, connections: int, rounds: int, json_file: Path | None) -> None:
    """Measure, and print a table. Takes less than two minutes as it stands."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console()
    try:
        chosen = contestants.named(name.strip() for name in names.split(",") if name.strip())
        plan = quick.plan(events, connections, rounds)
        command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
        with terminal.display(Console(stderr=True)) as display:
            found = quick.run(chosen, plan, command, display)
    except (BenchError, LocalError) as error:
        raise click.ClickException(str(error)) from None
    terminal.print_result(console, found)
    if json_file:
        json_file.write_text(json.dumps(found.document(), indent=1) + "\n")
    if not found.sound:
        raise SystemExit(1)


@main.command("schedules")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write everything that was found into this file.",
)
@click.option("--only", type=click.IntRange(1, len(schedules.CASES)), multiple=True, help="Only these rows.")
def schedules_command(json_file: Path | None, only: tuple[int, ...]) -> None:
    """Measure how late slots are fired, and what that costs. Takes about four minutes."""
    signal.signal(signal.SIGTERM, _interrupt)
    cases = tuple(case for number, case in enumerate(schedules.CASES, 1) if not only or number in only)
    try:
        found = schedules.run(cases, click.echo)
    except (BenchError, LocalError) as error:
        raise click.ClickException(str(error)) from None
    if json_file:
        json_file.write_text(json.dumps(found, indent=1) + "\n")


@main.command("report")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("more", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report_command(file: Path, more: Path | None) -> None:
    """Print the page of the documentation, made from the JSON of a measurement.

    MORE is that of a measurement of schedules.
    """
    try:
        page = report.page(figures.from_document(json.loads(file.read_text())))
        if more is not None:
            page += schedules.section(json.loads(more.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"one of the files holds no measurement: {error!r}") from None
    click.echo(page, nl=False)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End like Ctrl-C does, so that whatever was started is stopped."""
    # Once is enough: a second signal would cut the stopping short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="python -m bench")
