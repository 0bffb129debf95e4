"""The verbs of dead letters and strays."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from typing import Any

import click

from service import bootstrap
from service.application import replay as replays
from service.domain import outcome
from service.ledger import letters
from service.terminal import moment, print_json, print_line, print_table, told
from service.verbs import common

MESSAGE = 60  #: characters of an error's message in a table
REASON = click.option("--reason", type=click.Choice([reason.value for reason in outcome.Reason]), help="Why it died.")


@click.command()
@common.TYPE
@REASON
@common.since_until("Died")
@click.option("--replayed/--not-replayed", default=None, help="Only those that were, or were not.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", help="The next_cursor of the page before.")
@common.AS_JSON
@told
def dead(
    type_name: str | None,
    reason: str | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
    replayed: bool | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List dead letters, those that died last first."""
    filters = letters.Filters(type_name, reason, since, until, replayed)
    page = common.operations().letters.list(filters, limit=limit, cursor=cursor)
    if as_json:
        print_json({"dead": page.rows, "next_cursor": page.next_cursor})
        return
    print_table(("dead letter", "died (UTC)", "why"), [_letter(row) for row in page.rows])
    common.tell_next(page.next_cursor)


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
@common.BY
@common.AS_JSON
@told
def replay(
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
    by: str,
    as_json: bool,
) -> None:
    """Work dead letters again, as new events: by ID, or by filter.

    Each letter is replayed once; whose payload no longer fits its handler is
    left alone. The handlers must be known here: set MILLRACE_APPS as the
    workers have it. Exit code 1 if any ID was refused.

    \b
      millrace replay 01a1fac5-2b4a-76a7-8ab1-b1998b705c1b --payload mended.json
      millrace replay --type orders.created --dry-run
    """
    filters = letters.Filters(type_name, reason, since, until, replayed=False)
    common.check_choice(event_ids, filters != letters.Filters(replayed=False), dry_run=dry_run)
    if payload is not None and len(event_ids) != 1:
        raise click.UsageError("--payload goes with one ID")
    found = common.operations()
    if event_ids:
        edited = None if payload is None else _edited(payload)
        common.each(event_ids, lambda i: _replay_one(found.replayer, i, edited, by), as_json)
        return
    if not dry_run:
        dry_run = not common.confirmed(yes, f"Replay {sum(found.letters.count(filters).values())} dead letters?")
    summary = found.replayer.some(filters, limit=limit, rate=rate, dry_run=dry_run, by=by)
    if as_json:
        print_json(dataclasses.asdict(summary))
        return
    headers = ("type", "would be replayed" if dry_run else "replayed", "do not fit", "no handler")
    print_table(headers, [(t.type, str(t.replayed), str(t.unfit), str(t.unhandled)) for t in summary.types])
    for found_type in summary.types:
        if found_type.example is not None:
            print_line(f"left alone: {found_type.example}")
    click.echo(f"{summary.replayed} {headers[1]}, {summary.left} left")


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", help="The next_cursor of the page before.")
@common.AS_JSON
@click.pass_context
@told
def strays(ctx: click.Context, limit: int, cursor: str | None, as_json: bool) -> None:
    """List messages on our queues that were not ours; look into them."""
    if ctx.invoked_subcommand is not None:
        return
    page = common.operations().strays.list(limit=limit, cursor=cursor)
    if as_json:
        print_json({"strays": page.rows, "next_cursor": page.next_cursor})
        return
    print_table(
        ("stray", "filed (UTC)", "queue", "reason", "bytes"),
        [(r["id"], moment(r["filed_at"]), r["queue"], r["reason"], str(r["bytes"])) for r in page.rows],
    )
    common.tell_next(page.next_cursor)


@strays.command()
@click.argument("stray_id", metavar="ID")
@told
def show(stray_id: str) -> None:
    """Print a stray as JSON: properties, headers, body (base64)."""
    print_json(common.operations().strays.show(stray_id))


@strays.command()
@click.argument("stray_ids", metavar="ID...", nargs=-1, required=True)
@common.BY
@common.AS_JSON
@told
def discard(stray_ids: tuple[str, ...], by: str, as_json: bool) -> None:
    """Delete strays for good."""
    control = common.operations().control

    def one(stray_id: str) -> dict[str, Any]:
        control.discard(stray_id, by=by)
        return {"state": "discarded"}

    common.each(stray_ids, one, as_json)


def _replay_one(replayer: replays.Replayer, event_id: str, edited: replays.Payload | None, by: str) -> dict[str, str]:
    return {"replayed_as": replayer.one(event_id, edited=edited, by=by)[1]}


def _edited(path: pathlib.Path) -> replays.Payload:
    from service.web import body  # As strict as the door.

    document = body.parse(path.read_bytes(), bootstrap.prepare("operator").max_depth)
    return replays.Payload(document.value, document.text.decode())


def _letter(row: dict[str, Any]) -> tuple[str, str, str]:
    """A dead letter as a row: id, type and lineage; when; why."""
    error = row["error"] or {}
    message = f"{error.get('error', '')}: {error.get('message', '')}".strip(": ").replace("\n", " ")
    names = f"{row['id']}\n  {row['type']}"
    if row["replayed_as"]:
        names += f"\n→ {row['replayed_as']}"
    short = message if len(message) <= MESSAGE else message[: MESSAGE - 1] + "…"
    return names, f"{moment(row['died_at'])}\n{row['reason']}", short
