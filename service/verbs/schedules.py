"""The verbs of schedules."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import click

from service import plans
from service.application import schedules as application
from service.domain import durations, errors, slots
from service.terminal import moment, print_json, print_line, print_table, progress, second, told
from service.verbs import common, described, names, preview, year
from service.verbs.api import Api, path

STEP = 250  #: instants in one request of a backfill
NAME = click.argument("name", shell_complete=names.of("schedules"))
NAMES = click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=names.of("schedules"))
STATES = ("active", "paused", "finished", "retired")


@click.group(invoke_without_command=True)
@common.filtered(
    type=common.TYPE,
    state=click.option("--state", type=click.Choice(STATES), help="In this state."),
    origin=click.option("--origin", type=click.Choice(["code", "api"]), help="Declared in code, or made at run time."),
)
@common.paged(limit=50)
@common.AS_JSON
@click.pass_context
@told
@common.speaks
def schedules(
    api: Api,
    ctx: click.Context,
    filters: dict[str, Any],
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List schedules; make, change, pause, run and fill them."""
    if ctx.invoked_subcommand is not None:
        return
    found = api.get(path("schedules"), limit=limit, cursor=cursor, **filters)
    if as_json:
        print_json(found)
        return
    print_table(("schedule", "plan", "next (UTC)", "last"), [_row(row) for row in found["schedules"]])
    common.tell_next(found["next_cursor"])


@schedules.command()
@NAME
@told
@common.speaks
def show(api: Api, name: str) -> None:
    """Print a schedule as JSON, with its plan, policies and payload."""
    print_json(api.get(path("schedules", name)))


@schedules.command()
@click.argument("name")
@described.options
@common.AS_JSON
@told
@common.acts
def create(api: Api, name: str, as_json: bool, **given: Any) -> None:
    """Make a schedule.

    On the host its type must be known: set MILLRACE_APPS as the workers have it.

    \b
      millrace schedules create nightly --type reports.build \\
        --cron '0 3 * * *' --tz Europe/Berlin --overlap skip
    """
    _tell(api.post(path("schedules"), {"name": name} | described.document(given), repeatable=False), as_json)


@schedules.command()
@NAME
@described.options
@click.option("--unset", multiple=True, metavar="MEMBER", help="Back to its default: overlap, jitter, payload, …")
@click.option("--revision", type=int, metavar="N", help="Only if it has not been changed since.")
@common.AS_JSON
@told
@common.acts
def edit(api: Api, name: str, unset: tuple[str, ...], revision: int | None, as_json: bool, **given: Any) -> None:
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
    match = {"If-Match": "*" if revision is None else f'"{revision}"'}
    place = path("schedules", name)
    _tell(api.post(place, changes, headers=match, method="PATCH", repeatable=revision is None), as_json)


@schedules.command()
@NAMES
@common.AS_JSON
@told
@common.acts
def pause(api: Api, names: tuple[str, ...], as_json: bool) -> None:
    """Have no instant of these fired until they are resumed.

    The instants in the pause are skipped for good; a backfill makes events of
    them.
    """
    common.each(names, _does(api, "pause", "paused"), as_json)


@schedules.command()
@NAMES
@common.AS_JSON
@told
@common.acts
def resume(api: Api, names: tuple[str, ...], as_json: bool) -> None:
    """Have these go on with their next instants."""
    common.each(names, _does(api, "resume", "active"), as_json)


@schedules.command()
@NAME
@common.AS_JSON
@told
@common.acts
def run(api: Api, name: str, as_json: bool) -> None:
    """Make an event at once, whatever is planned, and though it is paused."""
    found = api.post(path("schedules", name, "run"), repeatable=False)
    if as_json:
        print_json(found)
    else:
        click.echo(found["id"])


@schedules.command()
@NAME
@click.option("--since", type=common.Instant(), required=True, help="From this instant on.")
@click.option("--until", type=common.Instant(), required=True, help="Before this instant; at the latest now.")
@click.option(
    "--limit", type=click.IntRange(1, application.MOST_BACKFILLED), default=1_000, show_default=True,
    help="At most so many events.",
)  # fmt: skip
@common.DRY_RUN
@common.YES
@common.AS_JSON
@told
@common.acts
def backfill(
    api: Api,
    name: str,
    since: datetime.datetime,
    until: datetime.datetime,
    limit: int,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make events of past instants that became none.

    Those that were skipped, in a pause say, and those before the schedule was
    made. An instant that is an event already stays the one that it is.
    """
    place, days = path("schedules", name, "backfill"), {"since": since, "until": until}
    found = api.post(place, query={"dry_run": True, "limit": limit, **days})
    if not dry_run and common.confirmed(yes, f"Make {found['backfilled']} events?"):
        made = 0
        with common.in_steps("made", lambda: made), progress("made", found["backfilled"]) as advance:
            while True:
                part = api.post(place, query={"limit": min(STEP, limit - made), **days}, repeatable=False)
                made += part["backfilled"]
                advance(part["backfilled"])
                if not part["more"] or not part["backfilled"] or made >= limit:
                    break
        found = found | {"dry_run": False, "backfilled": made, "more": part["more"]}
    if as_json:
        print_json(found)
        return
    what = "would be events" if found["dry_run"] else "are events now"
    rest = "; there are more: ask again" if found["more"] else ""
    click.echo(f"of {found['instants']} instants {found['backfilled']} {what}, {found['present']} were before{rest}")


@schedules.command()
@NAMES
@common.YES
@common.AS_JSON
@told
@common.acts
def delete(api: Api, names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete schedules that were made at run time. Their slots and events stay."""
    common.confirmed(yes, f"Delete {', '.join(names)}?")

    def one(name: str) -> dict[str, Any]:
        api.post(path("schedules", name), method="DELETE")
        return {"state": "deleted"}

    common.each(names, one, as_json)


@schedules.command("slots")
@NAME
@click.option("--outcome", type=click.Choice([o.value for o in slots.Outcome]), help="With this outcome.")
@common.paged()
@common.AS_JSON
@told
@common.speaks
def history(api: Api, name: str, outcome: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List what became of a schedule's instants, newest first.

    `missed` counts instants before it that have no line of their own.
    """
    found = api.get(path("schedules", name, "slots"), limit=limit, cursor=cursor, outcome=outcome)
    if as_json:
        print_json(found)
        return
    print_table(("instant (UTC)", "outcome", "missed", "late", "event"), [_slot(row) for row in found["slots"]])
    common.tell_next(found["next_cursor"])


schedules.add_command(preview.preview)
schedules.add_command(year.year)


def _does(api: Api, act: str, state: str) -> Callable[[str], dict[str, Any]]:
    def one(name: str) -> dict[str, Any]:
        api.post(path("schedules", name, act))
        return {"state": state}

    return one


def _tell(found: dict[str, Any], as_json: bool) -> None:
    """Say what a schedule is by now."""
    if as_json:
        print_json(found)
        return
    print_line(f"{found['name']}: {_plan(found['plan'])}")
    print_line(f"{found['state']}, next at {second(found['next_slot'])} UTC" if found["next_slot"] else found["state"])


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    coming = second(row["next_slot"]) if row["state"] == "active" and row["next_slot"] else row["state"]
    coming = "cannot be fired" if row["error"] else coming
    last = " ".join(filter(None, (row["last_outcome"], row["last_reason"])))
    return row["name"], _plan(row["plan"]), coming, last and f"{last} {moment(row['last_slot'])}"


def _slot(row: dict[str, Any]) -> tuple[str, ...]:
    outcome = " ".join(filter(None, (row["outcome"], row["reason"])))
    late = "" if row["late"] is None else durations.text(round(row["late"], 3))
    return second(row["due_at"]), outcome, str(row["missed"] or ""), late, row["event_id"] or ""


def _plan(spec: dict[str, Any]) -> str:
    try:
        return plans.read(spec).describe()
    except errors.DeclarationError:
        return json.dumps(spec)  # Of a newer version.
