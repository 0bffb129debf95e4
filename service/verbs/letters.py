"""The verbs of dead letters: list, replay, discard."""

from __future__ import annotations

import pathlib
from typing import Any

import click

from service import bootstrap
from service.domain import outcome, words
from service.terminal import instant, moment, print_json, print_line, print_table, progress, told
from service.verbs import common
from service.verbs.api import Api, pages, path

MOST = 100_000  #: letters in one request of a replay by filter
STEP = 10_000  #: letters in one request of a discard by filter
ALL = "Every dead letter that is open."
MESSAGE = 60  #: characters of an error's message in a table
REASON = click.option("--reason", type=click.Choice([reason.value for reason in outcome.Reason]), help="Why it died.")


@click.group(invoke_without_command=True)
@common.filtered(
    "Died",
    type=common.TYPE,
    reason=REASON,
    replayed=click.option("--replayed/--not-replayed", default=None, help="Only those that were, or were not."),
)
@click.option("--discarded", is_flag=True, help="Those that were discarded, instead of the others.")
@common.paged()
@common.AS_JSON
@click.pass_context
@told
@common.speaks
def dead(
    api: Api,
    ctx: click.Context,
    filters: dict[str, Any],
    discarded: bool,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List dead letters, those that died last first; replay or discard them.

    \b
      millrace dead --type orders.created --reason attempts --not-replayed
      millrace dead replay --type orders.created --dry-run
      millrace dead discard --type orders.created --because "test data"
    """
    if ctx.invoked_subcommand is not None:
        return
    found = api.get(path("dead"), limit=limit, cursor=cursor, discarded=discarded or None, **filters)
    if as_json:
        print_json(found)
        return
    print_table(("dead letter", "died (UTC)", "why"), [_letter(row) for row in found["dead"]])
    common.tell_next(found["next_cursor"])


@click.command()
@common.chosen("Died", limit=1_000, everything=ALL, type=common.TYPE, reason=REASON)
@click.option("--rate", type=click.FloatRange(0.001), metavar="N", help="Events per second [MILLRACE_REPLAY_RATE].")
@click.option(
    "--payload",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="JSON for one ID, instead of its payload.",
)
@common.YES
@common.AS_JSON
@told
@common.acts
def replay(
    api: Api,
    chosen: common.Chosen,
    rate: float | None,
    payload: pathlib.Path | None,
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
      millrace replay --all --rate 20
    """
    if payload is not None and len(chosen.ids) != 1:
        raise click.UsageError("--payload goes with one ID")
    if chosen.ids:
        edited = {} if payload is None else {"payload": _edited(payload)}
        common.each(
            chosen.ids, lambda i: {"replayed_as": api.call("replay", i, because=api.because, **edited)}, as_json
        )
        return
    summary = api.post(path("replay"), query={"dry_run": True, "limit": min(chosen.limit, MOST), **chosen.filters})
    unchecked = _unchecked(summary, chosen.limit)
    limit = summary["replayed"] + unchecked
    if not chosen.dry_run and not limit:
        summary |= {"dry_run": False}
    elif not chosen.dry_run:
        chosen.confirm(yes, limit, f"Replay {limit} dead letters?")
        summary = _replay_all(api, _counted(chosen, summary), limit, rate)
    if as_json:
        print_json(summary)
        return
    headers = ("type", "would be replayed" if chosen.dry_run else "replayed", "do not fit", "no handler")
    print_table(headers, [_of_type(t) for t in summary["types"]])
    for found_type in summary["types"]:
        if found_type["example"] is not None:
            print_line(f"left alone: {found_type['example']}")
    if chosen.dry_run and unchecked:
        print_line(f"not checked: {unchecked} more, as the dry run looks at the oldest; a replay goes on to them")
    click.echo(f"{summary['replayed']} {headers[1]}, {summary['left']} left")


dead.add_command(replay)


@dead.command("groups")
@common.AS_JSON
@told
@common.speaks
def list_groups(api: Api, as_json: bool) -> None:
    """List what is dead by type, reason and error: the largest group first.

    Of what was neither replayed nor discarded. Below each type stands the
    latest of its letters.

    \b
      millrace dead groups
    """
    found = api.get(path("dead", "groups"))
    if as_json:
        print_json(found)
        return
    print_table(("group", "open", "last (UTC)", "why"), [_group(one) for one in found["groups"]])
    of = "" if found["grouped"] else "; the groups are of the latest"
    print_line(f"{words.count(found['open'], found['exact'])} open{of}")
    if found["strays"]:
        print_line(f"{words.many(found['strays'], 'message')} not ours: millrace strays")


@dead.command("discard")
@common.chosen("Died", limit=10_000, everything=ALL, type=common.TYPE, reason=REASON)
@common.YES
@common.AS_JSON
@told
@common.acts
def discard_dead(api: Api, chosen: common.Chosen, yes: bool, as_json: bool) -> None:
    """Have nothing more come of dead letters: by ID, or by filter.

    They leave the list; the events stay dead and can be read, and one that
    was discarded by mistake can be replayed by its ID. Exit code 1 if any ID
    was refused.

    \b
      millrace dead discard 01a1fac5-2b4a-76a7-8ab1-b1998b705c1b
      millrace dead discard --type orders.created --dry-run
      millrace dead discard --all --dry-run
    """
    if chosen.ids:
        common.each(chosen.ids, lambda i: _discarded(api, i), as_json)
        return
    found = api.post(path("discard"), query={"dry_run": True, **chosen.filters})
    if not chosen.dry_run:
        limit = min(chosen.limit, found["count"])
        if limit:
            chosen.confirm(yes, limit, f"Discard {limit} dead letters?")
        elif not as_json:
            click.echo("nothing to discard: no such dead letter is open")
            return
        found = _discard_all(api, _counted(chosen, found), limit)
    if as_json:
        print_json(found)
        return
    counted = "open" if chosen.dry_run else "discarded"
    print_table(("type", counted), [(name, str(n)) for name, n in found["types"].items()])
    if not chosen.dry_run:
        click.echo(f"{found['discarded']} discarded, {found['left']} left")


def _counted(chosen: common.Chosen, counted: dict[str, Any]) -> dict[str, Any]:
    """The filter of those that a dry run has counted: what died since could take the place of one of them."""
    if "counted_at" not in counted:
        return chosen.filters  # A door of an older version does not say.
    filters = {name: value for name, value in chosen.filters.items() if name != "all"}
    counted_at = instant(counted["counted_at"])
    return filters | {"until": min(filters.get("until") or counted_at, counted_at)}


def _unchecked(summary: dict[str, Any], limit: int) -> int:
    """How many more are meant than a dry run has looked at: it ends after so many, or so long."""
    if summary["complete"]:
        return 0
    alone = sum(int(found["unfit"] + found["unhandled"]) for found in summary["types"])
    return max(0, min(limit - int(summary["replayed"]), int(summary["left"]) - alone))


def _discarded(api: Api, event_id: str) -> dict[str, Any]:
    api.call("discard", event_id, because=api.because)
    return {"state": "discarded"}


def _discard_all(api: Api, filters: dict[str, Any], limit: int) -> dict[str, Any]:
    found: dict[str, Any] = {"discarded": 0, "left": 0, "types": {}}
    with common.in_steps("discarded", lambda: int(found["discarded"])), progress("discarded", limit) as advance:
        for size in pages(limit, STEP):
            part = api.post(path("discard"), query={"limit": size, **filters}, repeatable=False)
            found["discarded"], found["left"] = found["discarded"] + part["discarded"], part["left"]
            for name, n in part["types"].items():
                found["types"][name] = found["types"].get(name, 0) + n
            advance(part["discarded"])
            if part["discarded"] < size:  # Another operator has the others in hand.
                break
    return found


def _replay_all(api: Api, filters: dict[str, Any], limit: int, rate: float | None) -> dict[str, Any]:
    """Replay until all are looked at; an answer comes after 20 s with what has been done, and when the next is due."""
    done: dict[str, int] = {}
    starts_at = None
    with common.in_steps("replayed", lambda: sum(done.values())), progress("replayed", limit) as advance:
        while True:
            asked = {"limit": min(limit - sum(done.values()), MOST), "rate": rate, "starts_at": starts_at, **filters}
            summary: dict[str, Any] = api.post(path("replay"), query=asked, repeatable=False)
            starts_at = summary["next_at"]
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


def _group(one: dict[str, Any]) -> tuple[str, ...]:
    why = _short(f"{one['error']}: {one['message']}")
    told = f"{outcome.told(one['reason'])}{why and chr(10)}{why}"
    return f"{one['type']}\n  {one['example']}", words.count(one["count"]), moment(one["last"]), told


def _letter(row: dict[str, Any]) -> tuple[str, str, str]:
    """A dead letter as a row: id, type and lineage; when; why."""
    error = row["error"] or {}
    message = _short(f"{error.get('error', '')}: {error.get('message', '')}")
    names = f"{row['id']}\n  {row['type']}"
    if row["replayed_as"]:
        names += f"\n→ {row['replayed_as']}"
    if row["discarded_at"]:
        names += f"\n  discarded by {row['discarded_by'] or 'someone unknown'}"
    return names, f"{moment(row['died_at'])}\n{row['reason']}", message


def _short(message: str) -> str:
    """An error in one line of a table."""
    line = message.strip(": ").replace("\n", " ")
    return line if len(line) <= MESSAGE else line[: MESSAGE - 1] + "…"
