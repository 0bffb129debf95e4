"""``python -m bench``: measure Millrace and its peers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from bench import (
    backlog,
    bars,
    compare,
    contestants,
    due,
    footprint,
    kept,
    ledger,
    profiles,
    report,
    run,
    schedules,
    soak,
    terminal,
)
from bench.errors import BenchError
from bench.results import Measurement
from service.local.spawn import LocalError

DOCS = run.ROOT / "docs"
NAMES = [each.name for each in contestants.ALL]

_keep = click.option("--keep", is_flag=True, help="Keep the result under bench/results, and write the docs anew.")
_one = click.option(
    "--contestant", "name", default="millrace", show_default=True, type=click.Choice(NAMES), help="Who is measured."
)


@click.group()
def main() -> None:
    """Measure Millrace and its peers on the same servers, doing the same work."""
    signal.signal(signal.SIGTERM, _interrupt)


@main.command("list")
def list_command() -> None:
    """Say who takes part, and which profiles there are."""
    click.echo("Contestants:")
    for each in contestants.ALL:
        click.echo(f"  {each.name:<18}{each.title}")
    click.echo("Profiles:")
    for profile in profiles.ALL.values():
        click.echo(f"  {profile.name:<18}{profile.title}; about {profile.minutes:g} minutes")


@main.command("run")
@click.argument("profile", default="full", type=click.Choice(list(profiles.ALL)))
@click.option("--contestants", "names", default="", help="Who is measured: names, separated by commas. [the profile's]")
@click.option("--rounds", type=click.IntRange(1, 100), help="How often each is measured. [the profile's]")
@click.option("--seconds", type=click.FloatRange(0.2, 600), help="How long orders are sent each time. [the profile's]")
@_keep
def run_command(profile: str, names: str, rounds: int | None, seconds: float | None, keep: bool) -> None:
    """Measure a profile: tables, a chart, and what was lost against the last kept result."""
    wanted = profiles.named(profile)
    with _errors(), terminal.display(Console(stderr=True)) as display:
        if names:
            chosen = contestants.named(name.strip() for name in names.split(",") if name.strip())
            wanted = profiles.only(wanted, [each.name for each in chosen])
        wanted = dataclasses.replace(wanted, rounds=rounds) if rounds else wanted
        wanted = wanted.lasting(seconds) if seconds else wanted
        found = run.run(wanted, _command(), display)
        before = kept.newest_of(profile) or kept.newest_of(profiles.FULL.name)
    console = Console()
    terminal.print_result(console, found)
    for sentence in compare.words(found, before):
        console.print(sentence, highlight=False, markup=False, style="yellow" if sentence.startswith("WARN") else "")
    with _errors():
        _save(found.document(), profile, found.taken_at, keep=keep, sound=found.sound)
        _draw(found, run.VAR / f"{profile}.png")
    if not found.sound:
        raise SystemExit(1)


@main.command("backlog")
@click.option("--orders", default=20_000, show_default=True, type=click.IntRange(1000, 10_000_000), help="How many.")
@_one
@_keep
def backlog_command(orders: int, name: str, keep: bool) -> None:
    """Accept orders with no worker running, then drain them: the rate by tenths, memory, size on disk."""
    with _errors(), terminal.display(Console(stderr=True)) as display:
        found = backlog.measure(contestants.named([name])[0], orders, _command(), display)
        _save(found.document(), "backlog", found.taken_at, keep=keep, sound=not found.lost + found.wrong)
    click.echo("\n".join(backlog.lines(found)))
    if found.lost or found.wrong:
        raise SystemExit(1)


@main.command("soak")
@click.option("--minutes", default=2.0, show_default=True, type=click.FloatRange(0.1, 1440), help="How long.")
@click.option("--every", default=10.0, show_default=True, type=click.FloatRange(1, 600), help="Seconds between looks.")
@_one
@_keep
def soak_command(minutes: float, every: float, name: str, keep: bool) -> None:
    """Let 70 % of the maximum flow: memory, files and connections of each process, and p99, by time."""
    with _errors(), terminal.display(Console(stderr=True)) as display:
        found = soak.soak(contestants.named([name])[0], minutes, every, _command(), display)
        _save(found.document(), "soak", found.taken_at, keep=keep, sound=not found.lost + found.wrong)
    click.echo("\n".join(soak.lines(found)))
    if found.lost or found.wrong:
        raise SystemExit(1)


@main.command("schedules")
@click.option("--only", type=click.IntRange(1, len(schedules.CASES)), multiple=True, help="Only these rows.")
@_keep
def schedules_command(only: tuple[int, ...], keep: bool) -> None:
    """Measure how late slots are fired, and what that costs. Takes about four minutes."""
    cases = tuple(case for number, case in enumerate(schedules.CASES, 1) if not only or number in only)
    with _errors():
        found = schedules.run(cases, click.echo)
        _save(found, "schedules", found["taken_at"], keep=keep, sound=True)


@main.command("due")
@_keep
def due_command(keep: bool) -> None:
    """Measure how soon all is published that is due in the same second. Takes two minutes."""
    with _errors():
        found = due.run(due.CASES, click.echo)
        _save(found, "due", found["taken_at"], keep=keep, sound=True)


@main.command("footprint")
@_one
@_keep
def footprint_command(name: str, keep: bool) -> None:
    """Weigh what an event leaves and moves: bytes on disk, in the log, over the network. Takes half a minute."""
    with _errors(), terminal.display(Console(stderr=True)) as display:
        found = footprint.measure(contestants.named([name])[0], _command(), display)
        _save(found.document(), footprint.KIND, found.taken_at, keep=keep, sound=True)
    click.echo("\n".join(footprint.lines(found)))


@main.command("ledger")
@click.option("--events", default=1_000_000, show_default=True, type=click.IntRange(20_000), help="In the large one.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(2, 100), help="How often each is measured.")
@_keep
def ledger_command(events: int, rounds: int, keep: bool) -> None:
    """Measure what asks the ledger, at ten thousand events and at many more.

    Ten million take about 15 minutes, and 10 GB below var/bench.
    """
    with _errors():
        found = ledger.measure(events, rounds, _command(), click.echo)
        _save(found, "ledger", found["taken_at"], keep=keep, sound=not found["failed"])
    if found["failed"]:
        raise SystemExit(1)


@main.command("report")
@click.option("--check", is_flag=True, help="Write nothing; fail if a page differs from the kept results.")
def report_command(check: bool) -> None:
    """Write the measured parts of the docs, and the chart, from the newest kept results."""
    with _errors():
        stale = [name for name in report.PAGES if _renewed(name) != (DOCS / name).read_text()]
        if check and stale:
            raise BenchError(f"{', '.join(stale)}: `python -m bench report` writes it anew")
        if not check:
            _publish()


def _publish() -> None:
    for name in report.PAGES:
        (DOCS / name).write_text(_renewed(name))
    full = kept.newest_of(profiles.FULL.name)
    if full:
        with terminal.display(Console(stderr=True)) as display:
            run.make_environment(display)
        _draw(full, DOCS / report.CHART)


def _renewed(name: str) -> str:
    return report.renewed(name, (DOCS / name).read_text())


def _save(document: dict[str, Any], kind: str, taken_at: str, *, keep: bool, sound: bool) -> None:
    """Leave the result where the next run finds it; if it is kept, the docs follow."""
    latest = run.VAR / f"{kind}.json"
    latest.write_text(json.dumps(document, indent=1) + "\n")
    if keep and not sound:
        click.echo(f"Nothing is kept of a measurement with failures, lost or wrong rows; it is in {latest}.", err=True)
    elif keep:
        click.echo(f"Kept as {kept.write(document, kind, taken_at)}.", err=True)
        _publish()


def _draw(found: Measurement, path: Path) -> None:
    """Draw the chart with the matplotlib of the peers' environment; a run without peers may lack it."""
    python, data = run.VENV / "bin" / "python", run.VAR / "panels.json"
    panels = [dataclasses.asdict(panel) for panel in bars.panels(found)]
    if panels and python.exists():
        data.write_text(json.dumps(panels))
        script = Path(bars.__file__).with_name("chart.py")
        done = subprocess.run([python, script, data, path], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"the chart could not be drawn:\n{done.stderr.strip()}")
        click.echo(f"The chart is in {path}.", err=True)


def _command() -> str:
    return shlex.join(["python", "-m", "bench", *sys.argv[1:]])


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn what we know of into one line."""
    try:
        yield
    except (BenchError, LocalError) as error:
        raise click.ClickException(str(error)) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End like Ctrl-C does, so that whatever was started is stopped."""
    # Once is enough: a second signal would cut the stopping short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="python -m bench")
