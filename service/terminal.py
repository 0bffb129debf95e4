"""How the command line speaks: tables for people, JSON for programs, faults in one line."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click
from rich import box, console, table
from rich import progress as bars

from service import bootstrap
from service.domain import errors

WIDTH = 80  #: columns of a line, and of a table where the output is no terminal

WHOLE = 40  #: characters of a line in the first column that stays whole


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the errors we know into one line, and one for each fault that they name, and exit code 1 (settings: 78)."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (errors.MillraceError, ValueError) as error:
            faults = [f"{fault.pointer or '/'}: {fault.detail}" for fault in getattr(error, "faults", ())]
            for one in [*bootstrap.explain(error).splitlines(), *faults]:
                click.echo(f"millrace: {_printable(one)}", err=True)
            sys.exit(bootstrap.exit_code(error))

    return wrapper


def line(error: Exception) -> str:
    """An error in one line, with every fault that it names."""
    faults = "; ".join(f"{f.pointer or '/'}: {f.detail}" for f in getattr(error, "faults", ()))
    return f"{str(error).rstrip('.')}: {faults}" if faults else str(error)


def print_json(document: Any) -> None:
    """A document for programs."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def print_line(text: str) -> None:
    """A line for people, folded where it is long; ids stay whole."""
    wide = textwrap.wrap(_printable(text), WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    click.echo("\n".join(wide))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people. An id in the first column stays whole, so that it can be copied."""
    found = table.Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    printed = [[_printable(cell) for cell in row] for row in rows]
    whole = all(len(part) <= WHOLE for row in printed for part in row[0].split("\n"))
    for number, header in enumerate(headers):
        found.add_column(header, no_wrap=number == 0 and whole, overflow="fold")
    for row in printed:
        found.add_row(*row)
    output = console.Console(markup=False, highlight=False, emoji=False)
    if not output.is_terminal:
        output.width = WIDTH
    output.print(found)


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal for what takes long; it is given how much more was done. ``total`` None: nobody knows."""
    output = console.Console(stderr=True)
    parts = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*parts, console=output, transient=True, disable=not output.is_terminal) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.advance(task, done)


def moment(at: datetime.datetime | str | None) -> str:
    """An instant for people, in UTC. A text is one of the API's."""
    return "" if at is None else f"{instant(at).astimezone(datetime.UTC):%Y-%m-%d %H:%M}"


def second(at: datetime.datetime | str) -> str:
    """The same with its seconds."""
    return f"{instant(at).astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"


def instant(at: datetime.datetime | str) -> datetime.datetime:
    """An instant that may come as the API writes it."""
    return datetime.datetime.fromisoformat(at) if isinstance(at, str) else at


def _printable(cell: str) -> str:
    """Without what would steer the terminal: a message may come from anywhere."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in cell)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime.datetime) else str(value)
