"""The verbs of schedules."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from typing import Any

import click

from service import plans
from service.application import schedules as application
from service.domain import durations, errors, slots
from service.ledger import agenda
from service.terminal import moment, print_json, print_line, print_table, told
from service.verbs import common, described, preview

STATES = ("active", "paused", "finished", "retired")


@click.group(invoke_without_command=True)
@click.option("--type", "type_name", metavar="TYPE", help="Of this event type.")
@click.option("--state", type=click.Choice(STATES), help="In this state.")
@click.option("--origin", type=click.Choice(["code", "api"]), help="Declared in code, or made at run time.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", help="The next_cursor of the page before.")
@common.AS_JSON
@click.pass_context
@told
def schedules(
    ctx: click.Context,
    type_name: str | None,
    state: str | None,
    origin: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List schedules; make, change, pause, run and fill them."""
    if ctx.invoked_subcommand is not None:
        return
    filters = agenda.Filters(type_name, origin, state, cursor)
    page = common.operations().agenda.list(filters, limit=limit)
    if as_json:
        print_json({"schedules": [application.shown(row) for row in page.rows], "next_cursor": page.next_cursor})
        return
    print_table(("schedule", "plan", "next (UTC)", "last"), [_row(row) for row in page.rows])
    common.tell_next(page.next_cursor)


@schedules.command()
@click.argument("name")
@told
def show(name: str) -> None:
    """Print a schedule as JSON, with its plan, policies and payload."""
    print_json(_found(common.operations().agenda, name))


@schedules.command()
@click.argument("name")
@described.options
@common.BY
@common.AS_JSON
@told
def create(name: str, by: str, as_json: bool, **given: Any) -> None:
    """Make a schedule.

    Its type must be known here: set MILLRACE_APPS as the workers have it.

    \b
      millrace schedules create nightly --type reports.build \\
        --cron '0 3 * * *' --tz Europe/Berlin --overlap skip
    """
    found = common.operations()
    found.schedules.create({"name": name} | described.document(given), by=by)
    _tell(found.agenda, name, as_json)


@schedules.command()
@click.argument("name")
@described.options
@click.option("--unset", multiple=True, metavar="MEMBER", help="Back to its default: overlap, jitter, payload, …")
@click.option("--revision", type=int, metavar="N", help="Only if it has not been changed since.")
@common.BY
@common.AS_JSON
@told
def edit(name: str, unset: tuple[str, ...], revision: int | None, by: str, as_json: bool, **given: Any) -> None:
    """Change what is named, and nothing else. A plan is given as a whole.

    What was due by the old plan is fired by it; all clocks follow the new one
    within a second. A schedule that is declared in code is changed there.

    \b
      millrace schedules edit nightly --cron '30 2 * * *' --tz Europe/Berlin
      millrace schedules edit nightly --unset jitter
    """
    changes = described.document(given) | {member.replace("-", "_"): None for member in unset}
    if not changes:
        raise click.UsageError("name what is to be changed")
    found = common.operations()
    found.schedules.edit(name, changes, revision=revision, by=by)
    _tell(found.agenda, name, as_json)


@schedules.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@common.BY
@common.AS_JSON
@told
def pause(names: tuple[str, ...], by: str, as_json: bool) -> None:
    """Have no instant of these fired until they are resumed.

    The instants in the pause are skipped for good; a backfill makes events of
    them.
    """
    acts = common.operations().schedules
    common.each(names, _does(acts.pause, "paused", by), as_json)


@schedules.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@common.BY
@common.AS_JSON
@told
def resume(names: tuple[str, ...], by: str, as_json: bool) -> None:
    """Have these go on with their next instants."""
    acts = common.operations().schedules
    common.each(names, _does(acts.resume, "active", by), as_json)


@schedules.command()
@click.argument("name")
@common.BY
@common.AS_JSON
@told
def run(name: str, by: str, as_json: bool) -> None:
    """Make an event at once, whatever is planned, and though it is paused."""
    event_id = common.operations().schedules.run_now(name, by=by)
    if as_json:
        print_json({"id": event_id, "schedule": name})
    else:
        click.echo(event_id)


@schedules.command()
@click.argument("name")
@click.option("--since", type=common.Instant(), required=True, help="From this instant on.")
@click.option("--until", type=common.Instant(), required=True, help="Before this instant; at the latest now.")
@click.option(
    "--limit", type=click.IntRange(1, application.MOST_BACKFILLED), default=1_000, show_default=True,
    help="At most so many events.",
)  # fmt: skip
@common.DRY_RUN
@common.YES
@common.BY
@common.AS_JSON
@told
def backfill(
    name: str,
    since: datetime.datetime,
    until: datetime.datetime,
    limit: int,
    dry_run: bool,
    yes: bool,
    by: str,
    as_json: bool,
) -> None:
    """Make events of past instants that became none.

    Those that were skipped, in a pause say, and those before the schedule was
    made. An instant that is an event already stays the one that it is.
    """
    acts = common.operations().schedules

    def fill(dry: bool) -> Any:
        return acts.backfill(name, since, until, limit=limit, dry_run=dry, by=by)

    found = fill(True)
    if not dry_run and common.confirmed(yes, f"Make {found.backfilled} events?"):
        found = fill(False)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    what = "would be events" if found.dry_run else "are events now"
    rest = "; there are more: ask again" if found.more else ""
    click.echo(f"of {found.instants} instants {found.backfilled} {what}, {found.present} were before{rest}")


@schedules.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@common.YES
@common.BY
@common.AS_JSON
@told
def delete(names: tuple[str, ...], yes: bool, by: str, as_json: bool) -> None:
    """Delete schedules that were made at run time. Their slots and events stay."""
    acts = common.operations().schedules
    common.confirmed(yes, f"Delete {', '.join(names)}?")
    common.each(names, _does(lambda name, by: acts.delete(name, revision=None, by=by), "deleted", by), as_json)


@schedules.command("slots")
@click.argument("name")
@click.option("--outcome", type=click.Choice([o.value for o in slots.Outcome]), help="With this outcome.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", help="The next_cursor of the page before.")
@common.AS_JSON
@told
def history(name: str, outcome: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List what became of a schedule's instants, newest first.

    `missed` counts instants before it that have no line of their own.
    """
    page = common.operations().agenda.history(name, limit=limit, cursor=cursor, outcome=outcome)
    if as_json:
        print_json({"slots": page.rows, "next_cursor": page.next_cursor})
        return
    print_table(("instant (UTC)", "outcome", "missed", "late", "event"), [_slot(row) for row in page.rows])
    common.tell_next(page.next_cursor)


schedules.add_command(preview.preview)


def _does(act: Callable[..., object], state: str, by: str) -> Callable[[str], dict[str, Any]]:
    def one(name: str) -> dict[str, Any]:
        act(name, by=by)
        return {"state": state}

    return one


def _found(here: agenda.ScheduleQueries, name: str) -> dict[str, Any]:
    row = here.find(name)
    return application.shown(row | {"payload": json.loads(row["payload"])})


def _tell(here: agenda.ScheduleQueries, name: str, as_json: bool) -> None:
    """Say what a schedule is by now."""
    found = _found(here, name)
    if as_json:
        print_json(found)
        return
    print_line(f"{name}: {_plan(found['plan'])}")
    print_line(f"{found['state']}, next at {_second(found['next_slot'])} UTC" if found["next_slot"] else found["state"])


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    coming = row["state"] if row["state"] != "active" else _second(row["next_slot"])
    last = " ".join(filter(None, (row["last_outcome"], row["last_reason"])))
    return row["name"], _plan(row["plan"]), coming, last and f"{last} {moment(row['last_slot'])}"


def _slot(row: dict[str, Any]) -> tuple[str, ...]:
    outcome = " ".join(filter(None, (row["outcome"], row["reason"])))
    late = "" if row["late"] is None else durations.text(round(row["late"], 3))
    return _second(row["due_at"]), outcome, str(row["missed"] or ""), late, row["event_id"] or ""


def _plan(spec: dict[str, Any]) -> str:
    try:
        return plans.read(spec).describe()
    except errors.DeclarationError:
        return json.dumps(spec)  # Of a newer version.


def _second(at: datetime.datetime) -> str:
    return f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"
