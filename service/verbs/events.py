"""The verbs of events: list, show, explain, wait."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from service.domain import states, words
from service.terminal import moment, print_json, print_line, print_table, second, told
from service.verbs import common, control, letters
from service.verbs.api import Api, path

#: Members of an event → what people call them; what is not named here, or is empty, is only in the JSON.
NAMES = {
    "type": "type",
    "state": "state",
    "attempt": "attempt",
    "accepted_at": "accepted",
    "run_at": "not before",
    "expires_at": "expires",
    "finished_at": "ended",
    "producer": "producer",
    "schedule": "schedule",
    "slot_at": "its instant",
    "replay_of": "replay of",
    "replayed_as": "replayed as",
    "discarded_at": "discarded",
    "progress": "progress",
    "payload": "payload",
    "result": "result",
}


@click.group()
def events() -> None:
    """Events: list, show, explain, wait for them; cancel and replay.

    \b
      millrace events list --type orders.created --state pending
      millrace events explain 01a1fac5-2b4a-76a7-8ab1-b1998b705c1b
    """


@events.command("list")
@common.filtered(
    "Accepted",
    type=common.TYPE,
    state=click.option("--state", type=click.Choice([state.value for state in states.State]), help="In this state."),
    producer=common.PRODUCER,
    text=click.option("--text", metavar="TEXT", help="With this in the payload; --type and --since are wanted too."),
)
@click.option("--count", is_flag=True, help="Say how many there are, too, up to 10,000.")
@common.paged()
@common.AS_JSON
@told
@common.speaks
def list_events(api: Api, filters: dict[str, Any], count: bool, limit: int, cursor: str | None, as_json: bool) -> None:
    """List events, the newest first.

    \b
      millrace events list --state dead --since 2026-01-31T08:00Z
      millrace events list --type orders.created --since 2026-01-31T08:00Z \\
        --text '"order": 7'
    """
    found = api.get(path("events"), limit=limit, cursor=cursor, count=count or None, **filters)
    if as_json:
        print_json(found)
        return
    print_table(("event", "accepted (UTC)", "state"), [_row(event) for event in found["events"]])
    if counted := found.get("found"):
        number, exact = counted["number"], counted["exact"]
        said = "too many to count soon" if number is None else words.count(number, exact)
        click.echo(f"there are {said} of them")
    if found["searched_until"]:
        click.echo(f"searched until {second(found['searched_until'])} UTC, then the time was up")
    common.tell_next(found["next_cursor"])


@events.command("show")
@click.argument("event_id", metavar="ID")
@common.REVEAL
@common.AS_JSON
@told
@common.speaks
def show_event(api: Api, event_id: str, reveal: str | None, as_json: bool) -> None:
    """Show all that is known of an event: payload, attempts, result."""
    found = api.get(path("events", event_id), reveal=reveal)
    if as_json:
        print_json(found)
    else:
        tell(found)


@events.command()
@click.argument("event_id", metavar="ID")
@common.AS_JSON
@told
@common.speaks
def explain(api: Api, event_id: str, as_json: bool) -> None:
    """Say why an event is not running, and when it is expected."""
    found = api.get(path("events", event_id, "explain"))
    if as_json:
        print_json(found)
        return
    print_line(found["sentence"])
    if found["expected_at"]:
        print_line(f"It should run at {second(found['expected_at'])} UTC.")


@events.command()
@click.argument("event_id", metavar="ID")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait.")
@common.AS_JSON
@told
@common.speaks
def wait(api: Api, event_id: str, timeout: float, as_json: bool) -> None:
    """Wait until an event has ended, and show it.

    Exit code 0 if it succeeded, else 1.

    \b
      millrace events wait "$(millrace send orders.created '{"order": 7}')"
    """
    found = dict(api.call("wait", event_id, within=timeout).document)
    if as_json:
        print_json(found)
    else:
        tell(found)
    sys.exit(0 if found["state"] == states.State.SUCCEEDED else 1)


events.add_command(control.cancel)
events.add_command(letters.replay)


def _row(event: dict[str, Any]) -> tuple[str, str, str]:
    reason = f"\n{event['reason']}" if event["reason"] else ""
    return f"{event['id']}\n  {event['type']}", moment(event["accepted_at"]), f"{event['state']}{reason}"


def tell(event: dict[str, Any]) -> None:
    """An event for people."""
    print_line(event["id"])
    for member, name in NAMES.items():
        if (value := event.get(member)) is None or (member == "attempt" and not value):
            continue
        if member.endswith("_at"):
            value = f"{second(value)} UTC"
        elif member == "state" and event.get("reason"):
            value = f"{value}, {event['reason']}"
        elif not isinstance(value, str) or member in ("payload", "result"):
            value = json.dumps(value, ensure_ascii=False)
        print_line(f"  {name:<12} {value}")
    for attempt in event.get("attempts") or ():
        when, why = second(attempt["finished_at"]), f"{attempt['error']}: {attempt['message']}"
        print_line(f"  attempt {attempt['number']:<4} {when} UTC  {why}")
    attempts = event.get("attempts") or [{}]
    for line in (attempts[-1].get("traceback") or "").splitlines():
        print_line(f"  {line}")
