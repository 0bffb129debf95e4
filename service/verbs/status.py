"""The verb that says how it is: what the first page of the console shows, in the same words."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import click

from service.application.attention import What
from service.domain import words
from service.terminal import print_json, print_line, print_table, second, told
from service.verbs import common
from service.verbs.api import Api, path

MOST = 10  #: rows of a table, unless all are wanted

#: What wants attention → the command that goes on from there.
NEXT = {
    What.NO_CLOCK: "millrace clocks",
    What.CLOCK_SILENT: "millrace clocks",
    What.BROKER_AWAY: "millrace doctor",
    What.FAILING: "millrace dead --type {subject}",
    What.TYPE_PAUSED: "millrace resume {subject}",
    What.QUEUE_PAUSED: "millrace resume --queue {subject}",
    What.WINDOW_FULL: "millrace events list --type {subject} --state pending",
    What.NOT_PUBLISHED: "millrace clocks",
    What.NOT_TAKEN: "millrace queues",
    What.DEAD_LETTERS: "millrace dead --type {subject} --reason {reason}",
    What.STRAYS: "millrace strays",
    What.CLOCK_CHANGE: "millrace schedules preview {example}",
}


@click.command()
@click.option("--all", "everything", is_flag=True, help="All types and budgets, not only those that stand out.")
@common.AS_JSON
@told
@common.speaks
def status(api: Api, everything: bool, as_json: bool) -> None:
    """Say how it is: what wants attention, what flows, what waits.

    The first page of the console, in a terminal: each thing that wants
    attention with the command that goes on from there, the worst first.

    \b
      millrace status
      watch -n 5 millrace status
    """
    found = api.get(path("overview"))
    if as_json:
        print_json(found)
        return
    print_line(f"{found['sentence']} ({second(found['at'])} UTC)")
    for item in found["attention"]:
        _tell(item)
    click.echo()
    for line in _figures(found):
        print_line(line)
    click.echo()
    print_table(("queue", "due", "later", "out", "due for", "out for"), [_queue(one) for one in found["queues"]])
    _tell_types(found["types"], everything)
    _tell_budgets(found["budgets"], everything)


def command(item: dict[str, Any]) -> str | None:
    """The command that goes on from what wants attention; None for what only a newer version knows."""
    known = {"subject": item["subject"], **item["facts"]}
    pattern = NEXT.get(item["what"])
    return pattern and pattern.format_map({name: shlex.quote(str(value)) for name, value in known.items()})


def _tell(item: dict[str, Any]) -> None:
    print_line(f"{item['severity']}: {item['subject']} {item['title']}")
    if item["text"]:
        print_line(f"  {item['text']}")
    if (found := command(item)) is not None:
        print_line(f"  {found}")


def _figures(found: dict[str, Any]) -> Iterator[str]:
    flow, waiting, dead, living = found["flow"], found["open"], found["dead"], found["processes"]
    per = {word: words.rate(flow[word]["per_second"]) for word in ("accepted", "done")}
    failed = words.rate(flow["retry"]["per_second"] + flow["dead"]["per_second"])
    yield f"per second: {per['accepted']} accepted, {per['done']} worked, {failed} attempts failed"
    hour = {word: words.count(flow[word]["last_hour"]) for word in ("accepted", "done", "dead")}
    yield f"last hour: {hour['accepted']} accepted, {hour['done']} worked, {hour['dead']} ended as dead letters"
    oldest = f", the oldest for {words.span(waiting['out_for'])}" if waiting["out_for"] is not None else ""
    number = {n: words.count(waiting[n], waiting["exact"]) for n in ("events", "due", "later", "out")}
    events = f"{number['events']} event{'s' * (waiting['events'] != 1)}"
    out = f"{number['out']} with the broker or workers{oldest}"
    yield f"open: {events}, {number['due']} due, {number['later']} later, {out}"
    look = " (millrace dead groups)" if dead["open"] else ""
    yield f"dead letters: {words.count(dead['open'], dead['exact'])} open{look}"
    broker = {True: "reachable", False: "not reachable", None: "not asked"}[found["broker"]]
    yield (
        f"there: {words.many(living['workers'], 'worker')} with {living['busy']} of {living['places']} places busy,"
        f" {words.many(living['clocks'], 'clock')}, {words.many(living['webs'], 'web')}; broker {broker}"
    )
    if found["coming"]:
        first = found["coming"][0]
        yield f"next: {first['schedule']} at {second(first['next_due'])} UTC"


def _queue(one: dict[str, Any]) -> tuple[str, ...]:
    counts = (words.count(one[name], one["exact"]) for name in ("due", "later", "out"))
    name = f"{one['name']}{', paused' if one['paused'] else ''}"
    return name, *counts, words.span(one["due_for"]), words.span(one["out_for"])


def _tell_types(found: list[dict[str, Any]], everything: bool) -> None:
    """Those that have something in hand, or that fail: what is fullest first."""
    rows = sorted(found, key=lambda one: (-one["open"], -one["accepted"], one["name"]))
    shown = rows if everything else [one for one in rows if _stands_out(one)][:MOST]
    if shown:
        click.echo()
        print_table(("type", "in/s", "done/s", "open", "oldest", "fails", "dead"), [_type(one) for one in shown])
    _tell_left(len(found) - len(shown), "type")


def _stands_out(one: dict[str, Any]) -> bool:
    return bool(one["accepted"] or one["done"] or one["open"] or one["dead"] or one["paused_at"] or not one["handled"])


def _type(one: dict[str, Any]) -> tuple[str, ...]:
    told = "\n  paused" if one["paused_at"] else "" if one["handled"] else "\n  no handler here"
    fails = words.NONE if one["failing"] is None else words.percent(one["failing"])
    return (
        f"{one['name']}{told}", words.rate(one["accepted"]), words.rate(one["done"]),
        words.count(one["open"], one["exact"]), words.span(one["oldest"]), fails, words.count(one["dead"]),
    )  # fmt: skip


def _tell_budgets(found: dict[str, Any], everything: bool) -> None:
    shown = found["budgets"] if everything else found["budgets"][:MOST]
    if not shown:
        return
    click.echo()
    if not found["complete"]:
        print_line(f"error budgets, read back to {second(found['since'])} UTC of thirty days:")
    print_table(("promise", "left", "kept", "promised"), [_budget(one) for one in shown])
    _tell_left(len(found["budgets"]) - len(shown), "budget")


def _budget(one: dict[str, Any]) -> tuple[str, ...]:
    left = "overspent" if one["left"] < 0 else f"{round(one['left'] * 100)} %"
    return f"{one['type']}\n  {one['what']}", left, words.percent(one["kept"]), words.percent(one["promised"])


def _tell_left(number: int, thing: str) -> None:
    if number:
        print_line(f"and {words.many(number, 'other ' + thing)}: --all")
