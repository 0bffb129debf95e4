"""The verbs of control: cancel, pause, resume."""

from __future__ import annotations

from typing import Any

import click

from service.domain import states
from service.terminal import moment, print_json, print_table, progress, told
from service.verbs import common, names
from service.verbs.api import Api, pages, path

STEP = 1_000  #: events in one request of a cancel by filter


@click.command()
@common.chosen(
    "Accepted",
    limit=10_000,
    type=common.TYPE,
    state=click.option(
        "--state", type=click.Choice([state.value for state in sorted(states.OPEN)]), help="In this state."
    ),
    producer=common.PRODUCER,
)
@common.YES
@common.AS_JSON
@told
@common.acts
def cancel(api: Api, chosen: common.Chosen, yes: bool, as_json: bool) -> None:
    """Withdraw events that have not been worked: by ID, or by filter.

    What a worker has in hand is left alone: ask again in a moment. A detached
    handler that is running is asked to stop. Exit code 1 if any ID was refused.

    \b
      millrace cancel 01a1fac5-2b4a-76a7-8ab1-b1998b705c1b
      millrace cancel --type orders.created --dry-run
      millrace cancel --type orders.created --because "sent twice, OPS-4711"
    """
    if chosen.ids:
        common.each(chosen.ids, lambda i: {"state": api.call("cancel", i, because=api.because)}, as_json)
        return
    found = api.post(path("cancel"), query={"dry_run": True, **chosen.filters})
    if not chosen.dry_run and common.confirmed(yes, f"Cancel {found['count']} events?"):
        done = _cancel_all(api, chosen.filters, min(chosen.limit, found["count"]))
        if as_json:
            print_json(done)
        else:
            click.echo(f"{done['cancelled']} cancelled, {done['stopping']} asked to stop, {done['left']} left")
    elif as_json:
        print_json(found)
    else:
        print_table(("type", "open"), [(name, str(n)) for name, n in found["types"].items()])


def _cancel_all(api: Api, filters: dict[str, Any], limit: int) -> dict[str, int]:
    found = {"cancelled": 0, "stopping": 0, "left": 0}
    with common.in_steps("cancelled", lambda: found["cancelled"]), progress("cancelled", limit) as advance:
        for size in pages(limit, STEP):
            part = api.post(path("cancel"), query={"limit": size, **filters}, repeatable=False)
            done = part["cancelled"] + part["stopping"]
            found = {n: found[n] + part[n] for n in ("cancelled", "stopping")} | {"left": part["left"]}
            advance(done)
            if done < size:  # The others are being worked.
                break
    return found


@click.command()
@click.argument("type_name", metavar="[TYPE]", required=False, shell_complete=names.of("types"))
@click.option("--queue", metavar="NAME", shell_complete=names.of("queues"), help="A queue instead of a type.")
@common.AS_JSON
@told
@common.acts
def pause(api: Api, type_name: str | None, queue: str | None, as_json: bool) -> None:
    """Hold back the events of a TYPE, or all of a queue.

    They are accepted, and wait in the ledger. What the broker has already is
    still worked: `millrace doctor` shows how much that is.
    """
    kind, name = _kind(type_name, queue)
    found = api.post(path(f"{kind}s", name, "pause"))
    if as_json:
        print_json(found)
    else:
        click.echo(f"the {kind} {name} is paused since {moment(found['at'])} UTC by {found['by']}")


@click.command()
@click.argument("type_name", metavar="[TYPE]", required=False, shell_complete=names.of("types"))
@click.option("--queue", metavar="NAME", shell_complete=names.of("queues"), help="A queue instead of a type.")
@common.AS_JSON
@told
@common.acts
def resume(api: Api, type_name: str | None, queue: str | None, as_json: bool) -> None:
    """Let the events of a TYPE, or all of a queue, go again."""
    kind, name = _kind(type_name, queue)
    found = api.post(path(f"{kind}s", name, "resume"))
    if as_json:
        print_json(found)
    else:
        click.echo(f"the {kind} {name} {'goes on' if found['was_paused'] else 'was not paused'}")


@click.command()
@common.AS_JSON
@told
@common.speaks
def pauses(api: Api, as_json: bool) -> None:
    """List what is paused, since when, by whom and why."""
    found = api.get(path("pauses"))["pauses"]
    if as_json:
        print_json(found)
    else:
        print_table(
            ("name", "kind", "since (UTC)", "by", "because"),
            [(p["name"], p["kind"], moment(p["at"]), p["by"] or "", p["because"] or "") for p in found],
        )


def _kind(type_name: str | None, queue: str | None) -> tuple[str, str]:
    if (type_name is None) == (queue is None):
        raise click.UsageError("give either a TYPE or --queue NAME")
    return ("type", type_name) if type_name is not None else ("queue", queue or "")
