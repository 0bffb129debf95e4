"""Edits around due instants, as fast as they can be made."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import random
import threading

import pytest
from flask.testing import FlaskClient

from service import bootstrap
from service.domain import errors
from service.settings import Settings
from tests.integration.schedules.desk import Clock, create
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres


def test_a_hammer_of_edits_around_due_instants_loses_and_doubles_nothing(client: FlaskClient, ledger: Ledger) -> None:
    """Three clocks fire a schedule of each second while operators change, pause and resume it as fast as they can.

    Every instant from the first slot to the last is accounted for once: by a slot, or in the ``missed`` of the one
    after it.
    """
    create(client, plan={"every": 1})
    operator = bootstrap.operations(Settings.model_construct(database_url=ledger.url), registry=ledger.registry)
    stop, acts = threading.Event(), itertools.count()

    def hammer(seed: int) -> None:
        dice = random.Random(seed)
        while not stop.is_set():
            act = dice.choice(("edit", "edit", "edit", "pause", "resume", "resume"))
            try:
                if act == "edit":
                    changes = {"payload": {"n": next(acts)}, "jitter": dice.choice((0, 0.4)), "plan": {"every": 1}}
                    operator.schedules.edit("s", changes, revision=None, by="hammer")
                else:
                    getattr(operator.schedules, act)("s", by="hammer")
            except errors.LedgerUnavailable:
                continue  # The pool has one connection.

    def tick(clock: Clock) -> None:
        while not stop.is_set():
            with contextlib.suppress(errors.LedgerUnavailable):  # On a busy machine; a clock looks again.
                clock.fire()

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        running = [pool.submit(tick, Clock(ledger, name=f"clock {n}")) for n in range(3)]
        running += [pool.submit(hammer, seed) for seed in range(2)]
        try:
            ledger.until(lambda: ledger.sql("select count(*) > 8 from millrace.slots")[0][0], within=30)
        finally:
            stop.set()
        for one in running:
            one.result(10 * PATIENCE)
    operator.schedules.resume("s", by="hammer")
    count, span, missed = ledger.sql(
        "select count(*), extract(epoch from max(due_at) - min(due_at))::int + 1,"
        " coalesce(sum(missed) filter (where due_at > (select min(due_at) from millrace.slots)), 0)"
        " from millrace.slots"
    )[0]
    assert count + missed == span
    events = "select count(*), count(distinct slot_at) from millrace.events where schedule = 's'"
    fired = ledger.sql("select count(*) from millrace.slots where event_id is not null")[0][0]
    assert ledger.sql(events) == [(fired, fired)]
    assert next(acts) > 20, "hardly anything was changed"
