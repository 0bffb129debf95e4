"""The verbs of dead letters and strays."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import click

from service import bootstrap
from service.domain import outcome
from service.terminal import moment, print_json, print_line, print_table, progress, told
from service.verbs import common
from service.verbs.api import Api, path

MOST = 100_000  #: letters in one request of a replay by filter
MESSAGE = 60  #: characters of an error's message in a table
REASON = click.option("--reason", type=click.Choice([reason.value for reason in outcome.Reason]), help="Why it died.")


@click.group(invoke_without_command=True)
@common.TYPE
@REASON
@common.since_until("Died")
@click.option("--replayed/--not-replayed", default=None, help="Only those that were, or were not.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", help="The next_cursor of the page before.")
@common.AS_JSON
@click.pass_context
@told
@common.speaks
def dead(
    api: Api,
    ctx: click.Context,
    type_name: str | None,
    reason: str | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
    replayed: bool | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List dead letters, those that died last first; replay them.

    \b
      millrace dead --type orders.created --reason attempts --not-replayed
      millrace dead replay --type orders.created --dry-run
    """
    if ctx.invoked_subcommand is not None:
        return
    filters = {"type": type_name, "reason": reason, "since": since, "until": until, "replayed": replayed}
    found = api.get(path("dead"), limit=limit, cursor=cursor, **filters)
    if as_json:
        print_json(found)
        return
    print_table(("dead letter", "died (UTC)", "why"), [_letter(row) for row in found["dead"]])
    common.tell_next(found["next_cursor"])


@click.command()
@click.argument("event_ids", metavar="[ID]...", nargs=-1)
@common.TYPE
@REASON
@common.since_until("Died")
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True, help="By filter: at most so many.")
@click.option("--rate", type=click.FloatRange(0.001), metavar="N", help="Events per second [MILLRACE_REPLAY_RATE].")
@click.option(
    "--payload",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="JSON for one ID, instead of its payload.",
)
@common.DRY_RUN
@common.YES
@common.AS_JSON
@told
@common.speaks
def replay(
    api: Api,
    event_ids: tuple[str, ...],
    type_name: str | None,
    reason: str | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
    limit: int,
    rate: float | None,
    payload: pathlib.Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Work dead letters again, as new events: by ID, or by filter.

    Each letter is replayed once; whose payload no longer fits its handler is
    left alone. On the host the handlers must be known: set MILLRACE_APPS as
    the workers have it. Exit code 1 if any ID was refused.

    \b
      millrace replay 01a1fac5-2b4a-76a7-8ab1-b1998b705c1b --payload mended.json
      millrace replay --type orders.created --dry-run
    """
    filters = {"type": type_name, "reason": reason, "since": since, "until": until}
    common.check_choice(event_ids, any(value is not None for value in filters.values()), dry_run=dry_run)
    if payload is not None and len(event_ids) != 1:
        raise click.UsageError("--payload goes with one ID")
    if event_ids:
        edited = {} if payload is None else {"payload": _edited(payload)}
        common.each(event_ids, lambda i: {"replayed_as": api.call("replay", i, **edited)}, as_json)
        return
    summary = api.post(path("replay"), query={"dry_run": True, "limit": min(limit, MOST), **filters})
    if not dry_run:
        common.confirmed(yes, f"Replay {min(limit, summary['replayed'])} dead letters?")
        summary = _replay_all(api, filters, limit, rate)
    if as_json:
        print_json(summary)
        return
    headers = ("type", "would be replayed" if dry_run else "replayed", "do not fit", "no handler")
    print_table(headers, [_of_type(t) for t in summary["types"]])
    for found_type in summary["types"]:
        if found_type["example"] is not None:
            print_line(f"left alone: {found_type['example']}")
    click.echo(f"{summary['replayed']} {headers[1]}, {summary['left']} left")


dead.add_command(replay)


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", help="The next_cursor of the page before.")
@common.AS_JSON
@click.pass_context
@told
@common.speaks
def strays(api: Api, ctx: click.Context, limit: int, cursor: str | None, as_json: bool) -> None:
    """List messages on our queues that were not ours; look into them."""
    if ctx.invoked_subcommand is not None:
        return
    found = api.get(path("strays"), limit=limit, cursor=cursor)
    if as_json:
        print_json(found)
        return
    print_table(
        ("stray", "filed (UTC)", "queue", "reason", "bytes"),
        [(r["id"], moment(r["filed_at"]), r["queue"], r["reason"], str(r["bytes"])) for r in found["strays"]],
    )
    common.tell_next(found["next_cursor"])


@strays.command()
@click.argument("stray_id", metavar="ID")
@common.REVEAL
@told
@common.speaks
def show(api: Api, stray_id: str, reveal: str | None) -> None:
    """Print a stray as JSON: properties, headers; with --reveal its body (base64)."""
    print_json(api.get(path("strays", stray_id), reveal=reveal))


@strays.command()
@click.argument("stray_ids", metavar="ID...", nargs=-1, required=True)
@common.AS_JSON
@told
@common.speaks
def discard(api: Api, stray_ids: tuple[str, ...], as_json: bool) -> None:
    """Delete strays for good."""

    def one(stray_id: str) -> dict[str, Any]:
        api.post(path("strays", stray_id), method="DELETE")
        return {"state": "discarded"}

    common.each(stray_ids, one, as_json)


def _replay_all(api: Api, filters: dict[str, Any], limit: int, rate: float | None) -> dict[str, Any]:
    """Replay until all are looked at; an answer comes after 20 s with what has been done."""
    done: dict[str, int] = {}
    with progress("replayed", limit) as advance:
        while True:
            room = limit - sum(done.values())
            summary: dict[str, Any] = api.post(
                path("replay"), query={"limit": min(room, MOST), "rate": rate, **filters}
            )
            for found in summary["types"]:
                done[found["type"]] = found["replayed"] = done.get(found["type"], 0) + found["replayed"]
            advance(summary["replayed"])
            if summary["complete"] or not summary["replayed"] or sum(done.values()) >= limit:
                return summary | {"replayed": sum(done.values())}


def _of_type(found: dict[str, Any]) -> tuple[str, ...]:
    return found["type"], str(found["replayed"]), str(found["unfit"]), str(found["unhandled"])


def _edited(source: pathlib.Path) -> Any:
    from service.web import body  # As strict as the door.

    return body.parse(source.read_bytes(), bootstrap.prepare("operator").max_depth).value


def _letter(row: dict[str, Any]) -> tuple[str, str, str]:
    """A dead letter as a row: id, type and lineage; when; why."""
    error = row["error"] or {}
    message = f"{error.get('error', '')}: {error.get('message', '')}".strip(": ").replace("\n", " ")
    names = f"{row['id']}\n  {row['type']}"
    if row["replayed_as"]:
        names += f"\n→ {row['replayed_as']}"
    short = message if len(message) <= MESSAGE else message[: MESSAGE - 1] + "…"
    return names, f"{moment(row['died_at'])}\n{row['reason']}", short
