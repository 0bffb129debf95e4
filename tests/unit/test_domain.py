"""The domain: ids, states, tickets, back-off, names."""

from __future__ import annotations

import datetime
import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import backoff, errors, event, handlers, ids, outcome, schedules, states, ticket, topology
from service.domain.states import State

SOME_ID = "01a1fab0-15d5-76f1-8133-d6995b2ccfe2"


@given(st.floats(min_value=0, max_value=2**47 / 1000))
def test_an_id_is_a_uuid_of_version_7_that_holds_its_instant(seconds: float) -> None:
    found = uuid.UUID(ids.uuid7(seconds))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == int(seconds * 1_000_000) // 1000


def test_ids_sort_by_their_instant_to_the_microsecond() -> None:
    instants = [1_700_000_000 + n / 1_000_000 for n in range(0, 5000, 7)]
    made = [ids.uuid7(s) for s in instants]
    # Four bits less than a microsecond needs would let neighbours swap.
    assert [i[:18] for i in made] == sorted(i[:18] for i in made)
    assert len(set(made)) == len(made)


def test_the_floor_of_an_instant_is_below_every_id_of_it_and_above_those_before() -> None:
    moment = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    assert ids.uuid7(moment.timestamp() - 0.001) < ids.floor(moment) <= ids.uuid7(moment.timestamp())
    assert ids.instant(ids.uuid7(moment.timestamp())) == moment


def test_final_states_go_nowhere_and_every_open_state_can_end() -> None:
    for state, targets in states.TRANSITIONS.items():
        assert bool(targets) == (state in states.OPEN)
    assert states.sources(State.SUCCEEDED) == ["pending", "running"]
    assert states.sources(State.EXPIRED) == ["pending"]
    assert set(states.TRANSITIONS) == set(State)


@given(st.integers(1, 5000), st.floats(0.001, 1000), st.floats(0.001, 100_000))
def test_backoff_is_a_random_time_up_to_the_cap(failures: int, base: float, cap: float) -> None:
    delay = backoff.Backoff(base, cap).delay(failures, random.Random(failures))
    assert 0 <= delay <= min(cap, base * 2.0 ** min(failures - 1, 64))


def test_backoff_uses_the_whole_range() -> None:
    rng = random.Random(1)
    found = [backoff.Backoff(1, 60).delay(4, rng) for _ in range(2000)]
    assert min(found) < 0.1
    assert max(found) > 7.9
    assert 3.7 < sum(found) / len(found) < 4.3


def a_ticket() -> ticket.Ticket:
    return ticket.Ticket(SOME_ID, "a.b", (SOME_ID,), topology.EVENTS, "event.a.b", "events", at=12.5)


def test_a_ticket_is_read_as_it_was_written() -> None:
    found = ticket.read(a_ticket().body())
    assert (found.ticket, found.type, found.queue, found.event_ids) == (SOME_ID, "a.b", "events", (SOME_ID,))
    assert not found.careful
    assert found.at.timestamp() == 12.5
    assert ticket.read(a_ticket().body(), redelivered=True).careful


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"v": None}, {"events": []}, {"events": "x"}, {"events": [1]}, {"events": ["short"]}, {"at": "soon"},
     {"at": 1e300}, {"at": float("nan")}],
)  # fmt: skip
def test_what_is_no_ticket_of_this_version_is_foreign(change: dict[str, object]) -> None:
    with pytest.raises(errors.ForeignMessage):
        ticket.read(a_ticket().body() | change)


@pytest.mark.parametrize("body", [None, 3, "x", [], {}, {"v": 1}, [[{"v": 1}]]])
def test_other_json_is_foreign(body: object) -> None:
    with pytest.raises(errors.ForeignMessage):
        ticket.read(body)


def test_each_queue_gets_its_own_tickets_and_no_others() -> None:
    assert topology.event_route("a.b", "events") == ("millrace.events", "event.a.b")
    assert topology.event_route("a.b", "reports") == ("millrace.events", "reports.a.b")
    assert topology.tick_route("nightly") == ("millrace.periodic", "tick.nightly")
    names = [q.name for q in topology.queues(frozenset({"reports"}))]
    assert names == ["events", "periodic", "reports", "dead"]
    assert topology.work_queue("reports").binding == "reports.#"


@pytest.mark.parametrize("name", ["a", "a.b", "orders.created_v2", "a" * 100])
def test_type_names_are_dotted_lower_case(name: str) -> None:
    assert event.check_type(name) == name


@pytest.mark.parametrize("name", ["", "A", "a..b", ".a", "a.", "a b", "a.#", "*", "1a", "a" * 101, "ä", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(errors.DeclarationError, match="dotted lower case"):
        event.check_type(name)


def test_two_handlers_of_one_type_are_refused_and_both_are_named() -> None:
    registry = handlers.Registry()
    registry.add(handlers.Handler("a.b", test_two_handlers_of_one_type_are_refused_and_both_are_named))
    with pytest.raises(errors.DeclarationError, match=r"test_other_names_are_refused"):
        registry.add(handlers.Handler("a.b", test_other_names_are_refused))
    with pytest.raises(errors.UnknownEventType, match=r"a\.c"):
        registry.get("a.c")


def test_answers_check_what_they_are_given() -> None:
    with pytest.raises(ValueError, match="after"):
        outcome.Retry(after=-1)
    with pytest.raises(ValueError, match="time zone"):
        outcome.Snooze(datetime.datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="either"):
        outcome.Snooze()


class Hourly:
    def next_after(self, moment: datetime.datetime) -> datetime.datetime:
        return moment.replace(minute=0, second=0, microsecond=0) + datetime.timedelta(hours=1)

    def spec(self) -> dict[str, object]:
        return {"hourly": True}


def test_after_an_outage_the_latest_instant_is_due() -> None:
    first = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    now = first + datetime.timedelta(hours=5, minutes=20)
    assert schedules.latest(Hourly(), first, now) == first + datetime.timedelta(hours=5)
    assert schedules.latest(Hourly(), first, first) == first


def test_a_schedule_name_is_used_once() -> None:
    calendar = schedules.Calendar()
    calendar.add(schedules.Schedule("nightly", "a.b", Hourly()))
    calendar.add(schedules.Schedule("nightly", "a.b", Hourly()))  # The same again, as when a module is reloaded.
    with pytest.raises(errors.DeclarationError, match="nightly"):
        calendar.add(schedules.Schedule("nightly", "a.c", Hourly()))
    with pytest.raises(errors.DeclarationError, match="no name"):
        calendar.add(schedules.Schedule("Night ly\n", "a.b", Hourly()))
    assert len(calendar) == 1
