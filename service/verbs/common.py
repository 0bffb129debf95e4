"""What the verbs share: options, the way to the ledger, and answers about several ids."""

from __future__ import annotations

import datetime
import functools
import logging
import os
import pwd
import socket
import sys
from collections.abc import Callable
from typing import Any

import click

from service import bootstrap
from service.domain import chain, errors, states
from service.telemetry import logging as logs
from service.terminal import line, print_json, print_line
from service.verbs import api


class Instant(click.ParamType[datetime.datetime]):
    """An instant with its zone."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime.datetime:
        """The instant; fails with what would be right."""
        try:
            found = datetime.datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            self.fail(f"{value}: date, time and zone are wanted, like 2026-01-31T08:00Z")
        return found


def whoami() -> str:
    """Who acts: the user of this process and the host."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return f"{name}@{socket.gethostname()}"[:100]


AS_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")
BY = click.option("--by", default=whoami, show_default="user@host", help="Who acts; kept where it matters.")
TYPE = click.option("--type", "type_name", metavar="TYPE", help="Of this event type.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Look and count; change nothing.")
REVEAL = click.option("--reveal", metavar="REASON", help="What is masked too; reason and name are kept.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")


def since_until(what: str) -> Callable[[Any], Any]:
    """The options ``--since`` and ``--until``."""

    def decorate(function: Any) -> Any:
        until = click.option("--until", type=Instant(), help=f"{what} before this instant.")
        return click.option("--since", type=Instant(), help=f"{what} at this instant or later.")(until(function))

    return decorate


def speaks(function: Any) -> Any:
    """Give a verb its way to the API, as its first argument, and the options that lead there."""

    @click.option("--url", metavar="URL", help="Where the API is [MILLRACE_URL]; else the database itself is used.")
    @BY
    @functools.wraps(function)
    def wrapper(*args: Any, url: str | None, by: str, **options: Any) -> Any:
        found = api.Api(url, by)
        try:
            return function(found, *args, **options)
        finally:
            found.close()

    return wrapper


def acts(function: Any) -> Any:
    """``speaks``, for a verb that changes something: it may say why."""

    @click.option("--because", metavar="TEXT", help="Why; kept with the act, in the audit log.")
    @functools.wraps(function)
    def wrapper(found: api.Api, *args: Any, because: str | None, **options: Any) -> Any:
        found.because = because
        return function(found, *args, **options)

    return speaks(wrapper)


def operations() -> bootstrap.Operations:
    """The operators' part of the road, on a ledger that is ready: for what the API does not offer."""
    settings = bootstrap.prepare("operator")
    logs.set_level(logging.WARNING)  # What is done is said on the terminal.
    chain.begin(None, f"host {socket.gethostname()}")
    return bootstrap.operations_here(settings)


def check_choice(event_ids: tuple[str, ...], filtered: bool, *, dry_run: bool) -> None:
    """Raises UsageError unless there are either ids or a filter."""
    if bool(event_ids) == filtered:
        raise click.UsageError("give either IDs or a filter")
    if event_ids and dry_run:
        raise click.UsageError("--dry-run goes with a filter")


def confirmed(yes: bool, question: str) -> bool:
    """Whether the operator is sure; ends the command if not."""
    return yes or click.confirm(question, abort=True, err=True)


def each(ids: tuple[str, ...], act: Callable[[str], dict[str, Any]], as_json: bool) -> None:
    """Do it to each; what was refused does not stop the others, and shows in the exit code."""
    found: list[dict[str, Any]] = []
    for one in ids:
        try:
            found.append({"id": one, **act(one)})
        except (errors.LedgerUnavailable, api.Away):
            raise
        except errors.MillraceError as error:
            found.append({"id": one, "error": line(error), **error.members})
    if as_json:
        print_json(found)
    else:
        for entry in found:
            print_line(f"{entry['id']}  refused: {entry['error']}" if "error" in entry else done(entry))
    sys.exit(1 if any("error" in entry for entry in found) else 0)


def done(entry: dict[str, Any]) -> str:
    """What was done, in words."""
    if "replayed_as" in entry:
        return f"{entry['id']} → {entry['replayed_as']}"
    said = "running; asked to stop" if entry["state"] == states.State.RUNNING else entry["state"]
    return f"{entry['id']}  {said}"


def tell_next(cursor: str | None) -> None:
    """Say that there are more, and how to see them."""
    if cursor is not None:
        click.echo(f"there are more: --cursor {cursor}")
