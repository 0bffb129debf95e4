"""The verbs of control: cancel, pause, resume."""

from __future__ import annotations

import dataclasses
import datetime

import click

from service.domain import states
from service.ledger import queries
from service.terminal import moment, print_json, print_table, told
from service.verbs import common


@click.command()
@click.argument("event_ids", metavar="[ID]...", nargs=-1)
@common.TYPE
@click.option("--state", type=click.Choice([state.value for state in sorted(states.OPEN)]), help="In this state.")
@common.since_until("Accepted")
@click.option("--limit", type=click.IntRange(1), default=10_000, show_default=True, help="By filter: at most so many.")
@common.DRY_RUN
@common.YES
@common.BY
@common.AS_JSON
@told
def cancel(
    event_ids: tuple[str, ...],
    type_name: str | None,
    state: str | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
    limit: int,
    dry_run: bool,
    yes: bool,
    by: str,
    as_json: bool,
) -> None:
    """Withdraw events that have not been worked: by ID, or by filter.

    What a worker has in hand is left alone: ask again in a moment. A detached
    handler that is running is asked to stop. Exit code 1 if any ID was refused.

    \b
      millrace cancel 01a1fac5-2b4a-76a7-8ab1-b1998b705c1b
      millrace cancel --type orders.created --dry-run
    """
    filters = queries.Filters(type_name, None if state is None else states.State(state), None, since, until)
    common.check_choice(event_ids, bool(filters.values()), dry_run=dry_run)
    control = common.operations().control
    if event_ids:
        common.each(event_ids, lambda i: {"state": control.cancel(i, by=by)}, as_json)
        return
    types = control.count(filters)
    if not dry_run and common.confirmed(yes, f"Cancel {sum(types.values())} events?"):
        found = control.cancel_all(filters, limit=limit, by=by)
        if as_json:
            print_json(dataclasses.asdict(found))
        else:
            click.echo(f"{found.cancelled} cancelled, {found.stopping} asked to stop, {found.left} left")
    elif as_json:
        print_json({"dry_run": True, "count": sum(types.values()), "types": types})
    else:
        print_table(("type", "open"), [(name, str(n)) for name, n in types.items()])


@click.command()
@click.argument("type_name", metavar="[TYPE]", required=False)
@click.option("--queue", metavar="NAME", help="A queue instead of a type.")
@common.BY
@common.AS_JSON
@told
def pause(type_name: str | None, queue: str | None, by: str, as_json: bool) -> None:
    """Hold back the events of a TYPE, or all of a queue.

    They are accepted, and wait in the ledger. What the broker has already is
    still worked: `millrace doctor` shows how much that is.
    """
    kind, name = _kind(type_name, queue)
    control = common.operations().control
    found = (control.pause_type if kind == "type" else control.pause_queue)(name, by=by)
    if as_json:
        print_json({"kind": kind, "name": name, "paused": True, **found})
    else:
        click.echo(f"the {kind} {name} is paused since {moment(found['at'])} UTC by {found['by']}")


@click.command()
@click.argument("type_name", metavar="[TYPE]", required=False)
@click.option("--queue", metavar="NAME", help="A queue instead of a type.")
@common.BY
@common.AS_JSON
@told
def resume(type_name: str | None, queue: str | None, by: str, as_json: bool) -> None:
    """Let the events of a TYPE, or all of a queue, go again."""
    kind, name = _kind(type_name, queue)
    control = common.operations().control
    was_paused = (control.resume_type if kind == "type" else control.resume_queue)(name, by=by)
    if as_json:
        print_json({"kind": kind, "name": name, "paused": False, "was_paused": was_paused})
    else:
        click.echo(f"the {kind} {name} {'goes on' if was_paused else 'was not paused'}")


@click.command()
@common.AS_JSON
@told
def pauses(as_json: bool) -> None:
    """List what is paused, since when and by whom."""
    found = common.operations().queries.pauses()
    if as_json:
        print_json(found)
    else:
        print_table(
            ("name", "kind", "since (UTC)", "by"),
            [(p["name"], p["kind"], moment(p["at"]), p["by"] or "") for p in found],
        )


def _kind(type_name: str | None, queue: str | None) -> tuple[str, str]:
    if (type_name is None) == (queue is None):
        raise click.UsageError("give either a TYPE or --queue NAME")
    return ("type", type_name) if type_name is not None else ("queue", queue or "")
