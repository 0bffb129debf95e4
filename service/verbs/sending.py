"""The verb that sends events."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from service import client
from service.domain import durations, errors, states
from service.terminal import print_json, print_line, progress, second, told
from service.verbs import common, events, names
from service.verbs.api import Api

PART = 1_000  #: events in one request of many
SHOWN = 20  #: refused lines that are told one by one
SOON = datetime.timedelta(seconds=1)  #: a start that is nearer than that is not worth a word


@click.command()
@click.argument("type_name", metavar="[TYPE]", required=False, shell_complete=names.of("types"))
@click.argument("payload", metavar="[JSON]", required=False)
@click.option("--key", help="The same key is the same event, however often it is sent.")
@click.option("--delay", metavar="TIME", help="Not worked before so long: 30s, 5m, 2h.")
@click.option("--run-at", type=common.Instant(), help="Not worked before this instant.")
@click.option("--expires-at", type=common.Instant(), help="Not worked after this instant.")
@click.option("--wait", "seconds", type=click.FloatRange(0), metavar="SECONDS", default=0.0, help="For its outcome.")
@click.option(
    "--lines", type=click.File(encoding="utf-8"), metavar="FILE", help="Many events, one per line; - is stdin."
)
@common.AS_JSON
@told
@common.speaks
def send(
    api: Api,
    type_name: str | None,
    payload: str | None,
    key: str | None,
    delay: str | None,
    run_at: datetime.datetime | None,
    expires_at: datetime.datetime | None,
    seconds: float,
    lines: TextIO | None,
    as_json: bool,
) -> None:
    """Send an event of TYPE with a JSON payload, or many, and print its ID.

    It is durable when this returns. JSON may be - for standard input. A line
    of --lines is {"type": …, "payload": …, "key": …}; give keys where the file
    may be sent again. Exit code 1 if any line was refused. An event that should
    not start at once is told of on standard error: when it should, or why not.

    \b
      millrace send orders.created '{"order": 7}' --wait 10
      millrace send --lines orders.ndjson
    """
    if (type_name is None) == (lines is None):
        raise click.UsageError("give either a TYPE or --lines FILE")
    if lines is not None:
        if any(given is not None for given in (key, delay, run_at, expires_at)) or seconds:
            raise click.UsageError("with --lines, each line says its own key and times")
        _send_lines(api, lines, as_json)
        return
    more: dict[str, Any] = {"key": key, "run_at": run_at, "expires_at": expires_at}
    if delay is not None:
        more["delay"] = durations.seconds(delay)
    document = _json(sys.stdin.read() if payload == "-" else payload or "{}")
    event = api.call("submit", type_name, document, wait=seconds, **more)
    if as_json:
        print_json(dict(event.document))
    elif seconds:
        events.tell(dict(event.document))
    else:
        click.echo(event.id)
        _tell_wait(event)
    if seconds and event.state != states.State.SUCCEEDED:
        sys.exit(1)


def _tell_wait(event: client.Event) -> None:
    """Say that it will not start at once, beside the output, which is the id alone."""
    if event.expected_at is not None and event.accepted_at is not None:
        if event.expected_at - event.accepted_at >= SOON:
            click.echo(f"{event.reason}: it should start at {second(event.expected_at)} UTC", err=True)
    elif event.reason != states.Waiting.QUEUED:
        click.echo(f"{event.reason}: `millrace events explain {event.id}` says more", err=True)


def _send_lines(api: Api, lines: TextIO, as_json: bool) -> None:
    accepted, refused = 0, list[dict[str, Any]]()
    with progress("sent", None) as advance:
        for part in _parts(lines):
            items = api.call("batch", [event for _, event in part])
            for (number, _), item in zip(part, items, strict=True):
                if item.id is not None:
                    accepted += 1
                elif isinstance(item.problem, client.Invalid | client.NotFound):
                    refused.append({"line": number, "error": str(item.problem)})
                else:
                    after = f"{accepted} events were stored; from line {number} on it is not known"
                    raise errors.MillraceError(f"{after}: {api.told(item.problem)}")
            advance(len(part))
    if as_json:
        print_json({"accepted": accepted, "refused": refused})
    else:
        for one in refused[:SHOWN]:
            print_line(f"line {one['line']}  refused: {one['error']}")
        click.echo(f"{accepted} accepted, {len(refused)} refused")
    sys.exit(1 if refused else 0)


def _parts(lines: TextIO) -> Iterator[list[tuple[int, client.NewEvent]]]:
    """The events of a file with their lines' numbers, part by part; raises MillraceError for a line that is none."""
    part: list[tuple[int, client.NewEvent]] = []
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        found = _json(line, f"line {number}: ")
        try:
            for name in ("run_at", "expires_at"):
                if name in found:
                    found[name] = datetime.datetime.fromisoformat(found[name])
            part.append((number, client.NewEvent(**found)))
        except (TypeError, ValueError):
            wanted = '{"type": "orders.created", "payload": {"order": 7}}'
            raise errors.MillraceError(f"line {number}: an object like {wanted} is wanted") from None
        if len(part) == PART:
            yield part
            part = []
    if part:
        yield part


def _json(text: str, place: str = "") -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise errors.MillraceError(f"{place}{text.strip()[:60]}: JSON is wanted: {error}") from None
