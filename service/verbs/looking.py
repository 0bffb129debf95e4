"""The verbs that look at what is there: types, queues, workers, clocks."""

from __future__ import annotations

from typing import Any

import click

from service.domain import durations, words
from service.domain import processes as kinds
from service.terminal import moment, print_json, print_table, second, told
from service.verbs import common
from service.verbs.api import Api, path


@click.command()
@common.AS_JSON
@told
@common.speaks
def types(api: Api, as_json: bool) -> None:
    """List the event types that can be posted, and where they are worked.

    On the host, those of the apps in MILLRACE_APPS. With --json, the schema
    of each payload too.
    """
    found = api.get(path("types"))["types"]
    if as_json:
        print_json(found)
        return
    print_table(("type", "queue", "how", "what"), [_type(one) for one in found])


@click.command()
@common.AS_JSON
@told
@common.speaks
def queues(api: Api, as_json: bool) -> None:
    """List queues: what is due, out with the broker, and who takes from them.

    Tickets are counted, up to 10,000 of each; a ticket holds one event or
    more. `overdue` ones are out for longer than their patience.
    """
    found = api.get(path("queues"))["queues"]
    if as_json:
        print_json(found)
        return
    headers = ("queue", "due", "out", "overdue", "waits", "workers", "paused")
    print_table(headers, [_queue(one) for one in found])


@click.command()
@common.AS_JSON
@told
@common.speaks
def workers(api: Api, as_json: bool) -> None:
    """List workers: where they run, what they take, what they are at."""
    found = api.get(path("workers"))["processes"]
    if as_json:
        print_json(found)
        return
    print_table(("process", "since (UTC)", "seen"), [_process(one) for one in found])


@click.command()
@common.AS_JSON
@told
@common.speaks
def clocks(api: Api, as_json: bool) -> None:
    """List clocks, which fire schedules and publish what is due.

    `slots` were fired in the last hour, the latest of them so late.
    """
    found = api.get(path("clocks"))["processes"]
    if as_json:
        print_json(found)
        return
    fired = [(str(one["fired"]["slots"]), words.span(one["fired"]["late"])) for one in found]
    rows = [(*_process(one), *more) for one, more in zip(found, fired, strict=True)]
    print_table(("process", "since (UTC)", "seen", "slots", "late"), rows)


@click.command("processes")
@click.option("--kind", type=click.Choice([kind.value for kind in kinds.Kind]), help="Of this kind.")
@common.AS_JSON
@told
@common.speaks
def processes(api: Api, kind: str | None, as_json: bool) -> None:
    """List all processes: webs, workers, clocks, and their versions."""
    found = api.get(path("processes"), kind=kind)["processes"]
    if as_json:
        print_json(found)
        return
    rows = [(line, one["kind"], one["version"], seen) for one in found for line, _, seen in [_process(one)]]
    print_table(("process", "kind", "version", "seen"), rows)


@click.command()
@click.option("--days", type=click.FloatRange(0, 366, min_open=True), default=30.0, show_default=True, help="Back.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@common.AS_JSON
@told
@common.speaks
def deploys(api: Api, days: float, limit: int, as_json: bool) -> None:
    """List deploys: when which kind of process came in another version.

    \b
      millrace deploys --days 1
    """
    found = api.get(path("deploys"), days=days, limit=limit)["deploys"]
    if as_json:
        print_json(found)
        return
    print_table(("at (UTC)", "kind", "version"), [(second(one["at"]), one["kind"], one["version"]) for one in found])


def _type(found: dict[str, Any]) -> tuple[str, ...]:
    how = "paused" if found["paused"] else "detached" if found["detached"] else "bulk" if found["bulk"] else "atomic"
    return found["name"], found["queue"], how, (found["doc"] or "").split("\n")[0]


def _queue(found: dict[str, Any]) -> tuple[str, ...]:
    waits = "" if found["oldest_waiting"] is None else durations.text(round(found["oldest_waiting"]))
    paused = f"{moment(found['paused_at'])} {found['paused_by'] or ''}\n{found['paused_because'] or ''}".strip()
    counts = (str(found["due"]), str(found["out"]), str(found["overdue"]))
    return found["name"], *counts, waits, str(found["workers"]), paused


def _process(found: dict[str, Any]) -> tuple[str, ...]:
    """A process as a row; below its name, a worker's queues and what it is at."""
    seen = f"{durations.text(round(found['seen_ago']))} ago" + ("" if found["alive"] else ", gone")
    lines = [f"{found['host']}:{found['pid']}"]
    lines += [f"  takes {queue}" for queue in found["queues"]]
    lines += [f"  at {held['type']}, {durations.text(round(held['seconds']))}" for held in found["holding"]]
    return "\n".join(lines), moment(found["started_at"]), seen
