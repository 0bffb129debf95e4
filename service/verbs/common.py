"""What the verbs share: options, the way to the ledger, and answers about several ids."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import logging
import os
import pwd
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from click.core import ParameterSource

from service import bootstrap
from service.domain import chain, errors, states
from service.telemetry import logging as logs
from service.terminal import line, print_json, print_line
from service.verbs import api, names


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
TYPE = click.option("--type", metavar="TYPE", shell_complete=names.of("types"), help="Of this event type.")
PRODUCER = click.option("--producer", metavar="NAME", help="From this producer.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Look and count; change nothing.")
REVEAL = click.option("--reveal", metavar="REASON", help="What is masked too; reason and name are kept.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """What an act is meant for: single events, or what a filter finds."""

    ids: tuple[str, ...]  #: none: the filter is meant
    filters: dict[str, Any]
    limit: int  #: at most so many of what the filter finds
    dry_run: bool

    def confirm(self, yes: bool, number: int, question: str) -> None:
        """Have the operator confirm an act on so many; ends the command if they do not."""
        if self.filters.get("all"):
            confirmed_all(yes, number, question)
        else:
            confirmed(yes, question)


def with_options(options: Iterable[Callable[[Any], Any]], function: Any) -> Any:
    """The function with these options, which its help shows in this order."""
    for option in reversed(tuple(options)):
        function = option(function)
    return function


def filtered(when: str | None = None, **options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The options of a filter, by the API's names for them; with ``when``, since and until too.

    The verb is given them as one, ``filters``.
    """
    if when is not None:
        options["since"] = click.option("--since", type=Instant(), help=f"{when} at this instant or later.")
        options["until"] = click.option("--until", type=Instant(), help=f"{when} before this instant.")

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **given: Any) -> Any:
            filters = {name: given.pop(name) for name in options}
            return function(*args, filters=filters, **given)

        return with_options(options.values(), wrapper)

    return decorate


def chosen(
    when: str, *, limit: int, everything: str | None = None, **filters: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """IDs, or a filter with a limit: either, else UsageError. The verb is given them as one, ``chosen``.

    ``everything``: what ``--all`` means in the place of a filter, if there is such a thing. It has no default limit.
    """
    options = (
        *((click.option("--all", "everything", is_flag=True, help=everything),) if everything else ()),
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.option(
            "--limit",
            type=click.IntRange(1),
            default=limit,
            show_default=True,
            help=f"By filter: at most so many{'; --all has no default' * (everything is not None)}.",
        ),
        DRY_RUN,
    )

    known_all = everything is not None

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(
            *args: Any,
            ids: tuple[str, ...],
            filters: dict[str, Any],
            limit: int,
            dry_run: bool,
            everything: bool = False,
            **given: Any,
        ) -> Any:
            if everything and any(value is not None for value in filters.values()):
                raise click.UsageError("--all goes without a filter")
            filters |= {"all": True} if everything else {}
            if everything and click.get_current_context().get_parameter_source("limit") is ParameterSource.DEFAULT:
                limit = sys.maxsize  # As many as are counted.
            if bool(ids) == any(value is not None for value in filters.values()):
                raise click.UsageError(f"give either IDs or a filter{', or --all' * (not ids and known_all)}")
            if ids and dry_run:
                raise click.UsageError("--dry-run goes with a filter")
            return function(*args, chosen=Chosen(ids, filters, limit, dry_run), **given)

        return filtered(when, **filters)(with_options(options, wrapper))

    return decorate


def paged(limit: int = 20, cursor: click.ParamType[Any] | None = None) -> Callable[[Any], Any]:
    """The options of a page of a list: how much, and after which."""
    options = (
        click.option("--limit", type=click.IntRange(1, 500), default=limit, show_default=True, help="At most so many."),
        click.option("--cursor", type=cursor, help="The next_cursor of the page before."),
    )
    return functools.partial(with_options, options)


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


def confirmed(yes: bool, question: str) -> bool:
    """Whether the operator is sure; ends the command if not."""
    return yes or click.confirm(question, abort=True, err=True)


def confirmed_all(yes: bool, number: int, question: str) -> None:
    """The same for what is meant for everything: the number is typed. Ends the command for any other."""
    if not yes and click.prompt(f"{question} Type {number} to go on", err=True) != str(number):
        raise errors.MillraceError(f"that is not {number}: nothing was done")


@contextlib.contextmanager
def in_steps(word: str, done: Callable[[], int]) -> Iterator[None]:
    """An act in steps of which none is asked for twice: where the answer to one is lost, say what is known."""
    try:
        yield
    except api.Away as error:
        known = f"{done()} {word} for sure, and perhaps those of one more step; --dry-run counts what is left"
        raise errors.MillraceError(f"{str(error).rstrip('.')}; {known}") from error


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
