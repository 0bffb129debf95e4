"""Which events of a schedule are open, however old they are, whoever changed what, and whatever nobody works."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.domain import policies, schedules
from service.ledger import held, overlaps
from service.ledger.upkeep import Upkeep
from service.plans import Interval
from tests.integration.schedules.desk import PLACE, Clock, create, slots
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def due(ledger: Ledger, name: str = "s") -> None:
    """Have its instant of this hour be due."""
    ledger.sql(
        "update millrace.schedules set next_due = date_trunc('hour', now()),"
        " planned = case when held is not null then date_trunc('hour', now()) end where name = %s",
        name,
    )


def first_fired_days_ago(ledger: Ledger, clock: Clock, days: int = 3) -> None:
    """Fire, and have it been so long ago."""
    due(ledger)
    assert [row[1] for row in clock.fire()] == ["fired"] or ledger.states() == {"pending": 1}
    for statement in (
        "update millrace.slots set due_at = due_at - make_interval(days => %s)",
        "update millrace.schedules set open_since = open_since - make_interval(days => %s)",
    ):
        ledger.sql(statement, days)


def test_an_edit_forgets_no_open_event_however_old(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    create(client, plan={"every": 3600}, overlap="skip")
    first_fired_days_ago(ledger, clock)
    client.patch(f"{PLACE}/s", json={"payload": {"n": 2}}, headers={"If-Match": "*"})
    due(ledger)
    assert clock.fire() == [("s", "skipped", "overlap")]


def test_new_code_forgets_no_open_event_however_old(ledger: Ledger) -> None:
    policy = policies.Policy(overlap=policies.Overlap.SKIP)
    old, new = (
        Clock(ledger, schedules.Schedule("s", "a.tick", Interval(3600), {"v": v}, policy), name=v)
        for v in ("old", "new")
    )
    old.declarations.declare()
    first_fired_days_ago(ledger, old)
    new.declarations.declare()
    due(ledger)
    assert new.fire() == [("s", "skipped", "overlap")]


def test_one_whose_events_might_overlap_until_now_knows_the_open_ones(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    create(client, plan={"every": 3600})
    first_fired_days_ago(ledger, clock)
    client.patch(f"{PLACE}/s", json={"overlap": "skip"}, headers={"If-Match": "*"})
    due(ledger)
    assert clock.fire() == [("s", "skipped", "overlap")]


def test_one_that_is_made_anew_knows_the_open_events_of_its_name(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    create(client, plan={"every": 3600}, overlap="skip")
    first_fired_days_ago(ledger, clock)
    client.delete(f"{PLACE}/s")
    create(client, plan={"every": 3600}, overlap="skip")
    due(ledger)
    assert clock.fire() == [("s", "skipped", "overlap")]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "PIECE", 1)
    monkeypatch.setattr(overlaps, "LEAST", 10)


@pytest.mark.usefixtures("small_pieces")
def test_a_long_history_is_looked_through_in_pieces_and_once(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    """Skipped slots and events that are over, behind which one event is open; then it is over, too."""
    create(client, plan={"every": 3600}, overlap="skip")
    client.post(f"{PLACE}/s/run")
    ledger.sql(
        "insert into millrace.slots (schedule, due_at, outcome, clock)"
        " select 's', now() - n * interval '1 s', 'skipped', 'test' from generate_series(1, 35) n"
    )
    due(ledger)
    looks = 0
    while not (found := clock.fire()):
        looks += 1
        assert looks < 10
    assert (looks, found) == (3, [("s", "skipped", "overlap")])
    ledger.work()
    ledger.sql("delete from millrace.slots where outcome = 'skipped' and clock <> 'test'")
    due(ledger)
    [(_, outcome, _)] = clock.fire()
    assert outcome in ("fired", "caught_up"), "the mark has followed"


def test_a_tick_that_nobody_has_worked_in_time_keeps_no_other_waiting(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    """There is no worker, and the type is paused."""
    create(client, plan={"every": 3600}, overlap="skip", expires_after="2h")
    due(ledger)
    assert [row[0] for row in clock.fire()] == ["s"]
    client.post("/v1/types/a.tick/pause")
    ledger.sql("update millrace.events set expires_at = now() - interval '1 s'")
    ledger.sql("update millrace.slots set due_at = due_at - interval '1 hour'")
    ledger.sql("update millrace.schedules set open_since = open_since - interval '1 hour'")
    due(ledger)
    fired: list[Any] = []
    ledger.until(lambda: bool(fired.extend(clock.fire()) or fired))
    assert [row[1] for row in fired] in (["fired"], ["caught_up"])
    assert ledger.states() == {"expired": 1, "pending": 1}
    assert ledger.sql("select n from millrace.tallies where word = 'expired'") == [(1,)]
    assert ledger.sql("select count(*) from millrace.tickets") == [(1,)]


def test_ticks_expire_in_the_ledger(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    create(client, plan={"every": 3600}, expires_after="2h")
    create(client, "t", plan={"every": 3600})
    for name in ("s", "t"):
        due(ledger, name)
    assert len(clock.fire()) == 2
    Upkeep(ledger.engine).expire_ticks()
    assert ledger.states() == {"pending": 2}
    ledger.sql("update millrace.events set expires_at = now() - interval '1 s' where schedule = 's'")
    ledger.sql("update millrace.duties set done_at = '-infinity'")
    Upkeep(ledger.engine).expire_ticks()
    assert ledger.sql("select schedule, state from millrace.events order by 1") == [("s", "expired"), ("t", "pending")]
    assert ledger.sql("select cardinality(event_ids) from millrace.tickets") == [(1,)]


def test_what_is_held_costs_no_write_until_its_turn_comes(
    client: FlaskClient, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "PIECE", 2)
    monkeypatch.setattr(held, "WAKE", held.WAKE.replace("limit 500)", "limit 2)"))
    names = [f"s{n}" for n in range(5)]
    for name in names:
        create(client, name, type="a.alone", plan={"every": 86_400}, overlap="queue_one")
        client.post(f"{PLACE}/{name}/run")
        due(ledger, name)
    assert sorted(clock.fire()) == [(name, "held", "overlap") for name in names]
    rows = "select xmin::text from millrace.schedules order by name"
    before = ledger.sql(rows)
    wait = clock.slots.next_in()
    assert wait is None or wait > 1, "nothing is to be looked for at once"
    for _ in range(4):
        assert clock.fire() == []
    assert ledger.sql(rows) == before
    ledger.work()
    fired: list[Any] = []
    for _ in range(4):  # Two in each look, in turn.
        fired += clock.fire()
    assert sorted(fired) == [(name, "fired", "overlap") for name in names]
    assert slots(ledger, "s0")[-1][0] == "run_now"
