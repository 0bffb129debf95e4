"""What wants attention, reckoned from figures; and the ways on from it, which each face has for all of it."""

from __future__ import annotations

import datetime
import shlex
from collections import Counter
from typing import Any

import click
import pytest

from service import cli
from service.application import attention
from service.application.attention import Item, What
from service.domain import figures
from service.verbs import status
from service.web import overview
from service.web.console import attention as console
from tests import memory

NOW = datetime.datetime(2026, 3, 24, 12, 30, 20, tzinfo=datetime.UTC)
MINUTES = tuple(NOW.replace(second=0) - datetime.timedelta(minutes=n) for n in range(60, -1, -1))
#: A fact for each name that a way on may want.
FACTS = {"reason": "attempts", "example": "01a1fac5-2b4a-76a7-8ab1-b1998b705c1b"}
ALIVE = {"name": "h:1", "silent": 1.0}


def flow(**counts: int) -> figures.Flow:
    """An hour of ``a.b``, with these words in its last whole minute."""
    found: dict[datetime.datetime, Counter[tuple[str, str]]] = {minute: Counter() for minute in MINUTES}
    found[MINUTES[-2]] = Counter({("a.b", word): n for word, n in counts.items()})
    return figures.Flow(NOW, MINUTES, found)


def look(**more: Any) -> list[Item]:
    given: dict[str, Any] = {
        "flow": flow(), "depth": figures.Depth((), {}, {}), "letters": figures.Letters((), 0, True, 0),
        "window": 100, "clocks": [ALIVE], "tzs": [], "broker": None, "clock": overview.in_utc,
    } | more  # fmt: skip
    return attention.look(given.pop("flow"), given.pop("depth"), given.pop("letters"), **given)


def paused(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "out_events": 0, "paused_at": NOW, "paused_by": "ada", "paused_because": None} | more


def test_a_quiet_road_wants_nothing() -> None:
    assert look() == []
    assert attention.sentence(flow(), figures.Depth((), {}, {}), []) == "At rest; nothing wants your attention"


def test_a_type_of_which_a_fifth_of_the_attempts_fails_is_told() -> None:
    [item] = look(flow=flow(done=20, retry=4, dead=1))
    assert (item.what, item.severity, item.subject) == (What.FAILING, "critical", "a.b")
    assert item.facts == {"failed": 5, "succeeded": 20, "since": MINUTES[-2]}
    assert "failed at 2026-03-24 12:29 UTC" in item.text
    assert look(flow=flow(done=21, retry=4, dead=1)) == []
    assert look(flow=flow(done=0, retry=4)) == []  # So few say nothing.


def test_the_worst_is_first() -> None:
    depth = figures.Depth(
        (
            figures.Lane("a.full", "events", due=7),
            figures.Lane("a.late", "events", due=1, due_for=301.0),
            figures.Lane("a.slow", "reports", out=1, out_for=301.0),
            figures.Lane("a.held", "events", due=2, due_for=999.0),
        ),
        {"a.full": paused("a.full", out_events=100, paused_at=None), "a.held": paused("a.held")},
        {"mails": paused("mails", paused_because="the relay is down")},
    )
    group = figures.Group("a.dead", "attempts", "KeyError", "weight", 3, NOW, NOW, FACTS["example"])
    berlin = {"tz": "Europe/Berlin", "schedules": 2, "example": "nightly"}
    found = look(
        depth=depth, letters=figures.Letters((group,), 3, True, 1), clocks=[ALIVE, {"name": "h:2", "silent": 31.0}],
        tzs=[berlin], broker=False,
    )  # fmt: skip
    assert [item.severity for item in found] == ["critical"] * 2 + ["warning"] * 5 + ["note"] * 3
    assert {item.what for item in found} == {*What} - {What.FAILING, What.NO_CLOCK}
    assert attention.sentence(flow(), depth, found) == "Not well; 7 things want a look"
    [item] = [item for item in found if item.what is What.QUEUE_PAUSED]
    assert item.text == "The queue was paused by ada at 2026-03-24 12:30:20 UTC: the relay is down."


def test_without_a_living_clock_that_alone_is_told_of_clocks() -> None:
    assert [item.what for item in look(clocks=[])] == [What.NO_CLOCK]
    assert [item.what for item in look(clocks=[{"name": "h:2", "silent": 31.0}])] == [What.NO_CLOCK]
    assert look(clocks=[ALIVE, {"name": "h:2", "silent": 901.0}]) == []  # Nobody asks after it any more.


@pytest.mark.parametrize("what", What)
def test_each_face_knows_a_way_on(what: What) -> None:
    item = Item("note", what, "a b/c", "title", "text", FACTS)
    path, _, query = item.place(overview.PLACES[what]).partition("?")
    assert " " not in path + query
    road = memory.Road()
    rules = road.client().application.url_map.bind("localhost")
    assert rules.match(f"/v1/{path}", "GET")
    shown = console.shown(item)
    for place, method in [(shown.path, "GET"), *((s.path, "POST" if s.post else "GET") for s in shown.steps)]:
        assert rules.match(place.partition("?")[0].partition("#")[0], method)[0] != "console.nothing"
    words = shlex.split(status.command({"what": what, "subject": "a.b", "facts": FACTS}) or "")
    assert words[0] == "millrace"
    assert parses(words[1:]), words


def parses(words: list[str]) -> bool:
    """Whether the command line takes these words; nothing is run."""
    command: click.Command = cli.main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    context = command.make_context("millrace", list(words))
    return not context.args


def test_what_only_a_newer_version_knows_has_no_command() -> None:
    assert status.command({"what": "eclipse", "subject": "the moon", "facts": {}}) is None


def test_a_name_from_the_ledger_is_no_word_of_a_shell() -> None:
    found = status.command({"what": "queue_paused", "subject": "a; rm -rf /", "facts": {}})
    assert found == "millrace resume --queue 'a; rm -rf /'"


class Untouched(Counter[tuple[str, str]]):
    """A minute that may be looked up, and not read through."""

    def items(self) -> Any:
        raise AssertionError("a look at one type has read all of them")


def test_the_figures_of_one_type_cost_the_same_however_many_there_are() -> None:
    counts = {minute: Untouched({("a.b", "done"): 2, ("a.b", "dead"): 1}) for minute in MINUTES}
    found = figures.Flow(NOW, MINUTES, counts)
    assert found.series("done", "dead", type="a.b") == [3] * 61
    assert found.recent(6, "done", type="a.b") == 12
    assert found.rate("done", type="a.b") == pytest.approx(4 / 80)
    assert found.total("done", type="a.c") == 0
    with pytest.raises(AssertionError):
        found.series("done")
