"""The road against a model: whatever happens in whatever order, nothing is lost and nothing is doubled (P1, P2, P8).

Hypothesis posts, delivers, crashes, cancels, pauses, replays and loses messages as it likes, on a real ledger; the
broker is a list, and time passes when the test says so. After each step the ledger is what a few lines of plain Python
say that it is. In the end all that is open is worked off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import hypothesis
import psycopg2
import pytest
import sqlalchemy
from hypothesis import stateful
from hypothesis import strategies as st

from service.application.accept import Intake
from service.application.context import Context
from service.application.publish import Publisher, Release
from service.application.replay import Replayer
from service.domain import backoff, errors, event, outcome
from service.domain import ticket as tickets
from service.ledger import balance
from service.ledger import engine as engines
from service.ledger.cancel import CancelLedger
from service.ledger.intake import IntakeLedger
from service.ledger.letters import LetterLedger
from service.ledger.pauses import PauseLedger
from service.ledger.release import ReleaseLedger
from tests.ledgers import EFFECT, Ledger
from tests.model import ATTEMPTS, Model
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

TYPES = {"m.one": {"bundle": 1}, "m.some": {"bundle": 4}, "m.bulk": {"bundle": 4, "bulk": True}}
WORDS = ("ok", "raise", "retry", "snooze", "discard")
#: Faster than to truncate them, and much faster than a ledger of its own for each machine.
EMPTY = """
delete from millrace.events; delete from millrace.tickets; delete from millrace.attempts; delete from millrace.dead;
delete from millrace.tallies; delete from millrace.idempotency_keys; delete from millrace.types; delete from effects;
update account set balance = 0;
"""
LATER = {"a moment": "5 s", "hours": "2 hours"}  #: a head start has passed; patience and delays have ended

SCRIPTS = st.lists(st.sampled_from(WORDS), max_size=ATTEMPTS)
ANY = st.integers(0, 1000)  #: which one of several


class Crash(BaseException):
    """The process is gone."""


class KeptBack(Publisher):
    """The publisher of a web process that dies after each commit."""

    def __init__(self) -> None:
        super().__init__(lambda: (_ for _ in ()).throw(AssertionError("nothing shall connect")))

    def put(self, batch: Sequence[tickets.Ticket]) -> None: ...


class Machine(stateful.RuleBasedStateMachine):
    """All that may happen."""

    ledger: Ledger  #: used by one machine after the other
    connection: Any  #: to it, kept open: a machine looks often

    def __init__(self) -> None:
        super().__init__()
        self.sql(EMPTY)
        self.model = Model()
        self.keys: dict[str, tuple[str, list[str], str]] = {}
        self.messages: list[tickets.Delivery] = []
        self.crash_at: str | None = None
        self.gone = False
        self.meddling = False
        self.pause = 0.0
        for name, options in TYPES.items():
            self.ledger.registry._handlers.pop(name, None)  # The one of the machine before.
            act = self.work_many if "bulk" in options else self.work
            self.ledger.handler(name, act, attempts=ATTEMPTS, backoff=backoff.Backoff(base=0.0, cap=0.0), **options)
        self.executor = self.ledger.worker(leaving=lambda: self.gone)
        begin = self.executor._ledger.work
        self.executor._ledger.work = lambda *limits: self.die() if self.gone else begin(*limits)  # type: ignore[method-assign]
        self.cancels = CancelLedger(self.ledger.engine)
        self.types = PauseLedger(self.ledger.engine, "types")
        self.replayer = Replayer(LetterLedger(self.ledger.engine), self.ledger.registry, rate=100)
        released = ReleaseLedger(self.ledger.engine, patience=300, window=20_000, forgetful=False)
        self.release = Release(released, self)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    # --- the handlers -------------------------------------------------------------------------------------------

    def work(self, payload: list[str], ctx: Context) -> Any:
        return self.act(ctx, ctx.event)

    def work_many(self, events: list[event.Event], ctx: Context) -> Any:
        answers = [self.act(ctx, found) for found in events]
        return next((a for a in answers if a is not None), None)

    def act(self, ctx: Context, found: event.Event) -> Any:
        """The effect, and then what the script says."""
        ctx.session.execute(sqlalchemy.text(EFFECT))
        ctx.session.execute(sqlalchemy.text("insert into effects values (:id)"), {"id": found.id})
        time.sleep(self.pause)
        if found.id == self.crash_at:
            self.die()
        if self.meddling:
            with pytest.raises(errors.BeingWorked):
                self.cancels.cancel(found.id)
        word = self.model.word(found.payload, found.attempt - 1)
        if word == "raise":
            raise RuntimeError(found.id)
        if word != "ok":
            raise {"retry": outcome.Retry(after=0), "snooze": outcome.Snooze(seconds=0)}.get(
                word, outcome.Discard("no")
            )
        return None

    def die(self) -> NoReturn:
        """Nothing of this process does anything from now on."""
        self.gone = True
        raise Crash

    # --- the broker, as the clock sees it -----------------------------------------------------------------------

    def publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        self.messages += [tickets.read(t.body()) for t in batch]
        return {t.id for t in batch}

    def tick(self) -> None: ...
    def drop(self) -> None: ...
    def ready(self, queue: str) -> int:
        return len(self.messages)

    def resting(self) -> frozenset[str]:
        return frozenset()

    # --- what happens -------------------------------------------------------------------------------------------

    @stateful.initialize(type_name=st.sampled_from(list(TYPES)), scripts=st.lists(SCRIPTS, min_size=4, max_size=6))
    def begin(self, type_name: str, scripts: list[list[str]]) -> None:
        """Something to begin with."""
        self.submit(type_name, scripts, None, published=True)

    @stateful.rule(
        type_name=st.sampled_from(list(TYPES)), scripts=st.lists(SCRIPTS, min_size=1, max_size=6),
        delay=st.sampled_from([None, None, 3600.0]), published=st.booleans(),
    )  # fmt: skip
    def submit(self, type_name: str, scripts: list[list[str]], delay: float | None, published: bool) -> None:
        ids = self.ledger.post(type_name, *scripts, delay=delay)
        self.model.accept(type_name, scripts, ids)
        if published:  # But not marked out: the clock will publish it again.
            self.messages += [d for d in self.ledger.tickets() if set(d.event_ids) <= set(ids)]

    @stateful.rule(key=st.sampled_from("ab"), script=SCRIPTS)
    def submit_with_a_key(self, key: str, script: list[str]) -> None:
        mark, known, first = self.keys.get(key, (str(script), script, ""))
        if mark != str(script):
            with pytest.raises(errors.KeyReused):
                self.ledger.post("m.some", script, key=key, fingerprint=str(script))
            return
        [found] = self.ledger.post("m.some", script, key=key, fingerprint=mark)
        if first:
            assert found == first
        else:
            self.keys[key] = (mark, known, found)
            self.model.accept("m.some", [script], [found])

    @stateful.precondition(lambda self: self.messages)
    @stateful.rule(which=ANY, acked=st.booleans(), again=st.booleans(), meddling=st.booleans())
    def deliver(self, which: int, acked: bool, again: bool, meddling: bool) -> None:
        """A message is worked; unless it is acked, it comes again. ``again``: the broker says that it did already."""
        delivery = self.taken(which, acked, again)
        self.model.deliver(delivery)
        self.meddling = meddling
        self.executor.execute(delivery)
        self.meddling = False

    @stateful.precondition(lambda self: self.messages)
    @stateful.rule(which=ANY, victim=ANY, again=st.booleans())
    def crash(self, which: int, victim: int, again: bool) -> None:
        """The process dies in the handler of one of the events, if that is worked at all."""
        delivery = self.taken(which, False, again)
        self.crash_at = delivery.event_ids[victim % len(delivery.event_ids)]
        self.model.deliver(delivery, self.crash_at)
        with contextlib.suppress(Crash):
            self.executor.execute(delivery)
        self.crash_at, self.gone = None, False

    @stateful.precondition(lambda self: self.messages)
    @stateful.rule(which=st.tuples(ANY, ANY))
    def deliver_to_two_at_once(self, which: tuple[int, int]) -> None:
        both = [d for d in (self.taken(w, False, False) for w in which) if not d.careful]
        for delivery in both:
            self.model.deliver(delivery)
        self.pause = 0.002
        threads = [threading.Thread(target=self.executor.execute, args=(d,)) for d in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.pause = 0.0

    @stateful.precondition(lambda self: self.messages)
    @stateful.rule(which=st.none() | ANY, rebuilt=st.booleans())
    def lose(self, which: int | None, rebuilt: bool) -> None:
        """The broker loses a message, or all of them, and an operator may know it."""
        if which is None:
            self.messages.clear()
            if rebuilt:
                balance.rebuild(self.ledger.engine)
        else:
            self.messages.pop(which % len(self.messages))

    @stateful.rule(passed=st.sampled_from(list(LATER)))
    def clock(self, passed: str) -> None:
        """Time passes, and the clock comes round."""
        self.sql(
            "update millrace.tickets set due_at = due_at - %s::interval, published_at = published_at - %s::interval",
            LATER[passed], LATER[passed],
        )  # fmt: skip
        while self.release.run_once():
            pass
        self.release.run_overdue()

    @stateful.rule(type_name=st.sampled_from(list(TYPES)), resume=st.booleans())
    def pause_or_resume(self, type_name: str, resume: bool) -> None:
        if resume:
            self.types.resume(type_name)
        else:
            self.types.pause(type_name, "the test")

    @stateful.precondition(lambda self: self.model)
    @stateful.rule(which=ANY)
    def cancel(self, which: int) -> None:
        event_id, found = self.model.one(which)
        if found.state == "pending":
            self.cancels.cancel(event_id)
            found.state = "cancelled"
        else:
            with pytest.raises(errors.AlreadyEnded):
                self.cancels.cancel(event_id)

    @stateful.precondition(lambda self: any(m.state == "dead" for m in self.model.values()))
    @stateful.rule(which=ANY)
    def replay(self, which: int) -> None:
        event_id, found = self.model.one(which, "dead")
        if found.replayed:
            with pytest.raises(errors.AlreadyReplayed):
                self.replayer.one(event_id, by="the test")
            return
        _, new = self.replayer.one(event_id, by="the test")
        found.replayed = True
        self.model.accept(found.type, [found.script], [new])

    def taken(self, which: int, acked: bool, again: bool) -> tickets.Delivery:
        """A message as a worker gets it."""
        number = which % len(self.messages)
        found = self.messages.pop(number) if acked else self.messages[number]
        return dataclasses.replace(found, careful=found.careful or again, counted={})

    # --- what should come of it ---------------------------------------------------------------------------------

    @stateful.invariant()
    def the_ledger_is_as_it_should_be(self) -> None:
        self.ledger.check()
        rows = self.sql(
            "select id::text, state, attempt, ticket_id::text, crashes,"
            " (select count(*) from effects where event_id = e.id) from millrace.events e"
        )
        assert {row[0] for row in rows} == self.model.keys()
        for event_id, state, attempt, ticket, crashes, effects in rows:
            wanted = self.model[event_id]
            assert (state, attempt) == (wanted.state, wanted.attempt)
            assert effects == (state == "succeeded")
            if state == "pending":
                assert crashes == wanted.crashes
                if not wanted.ticket:
                    assert ticket not in wanted.tickets, "an old message would find it"
                    wanted.ticket = ticket
                    wanted.tickets.add(ticket)
                assert ticket == wanted.ticket
        assert self.sql("select balance from account") == [(sum(m.state == "succeeded" for m in self.model.values()),)]

    def teardown(self) -> None:
        """The faults are over: everything comes to its end."""
        self.model.awake = True
        self.messages.clear()
        for type_name in TYPES:
            self.types.resume(type_name)
        for _ in range(2 * ATTEMPTS):
            self.clock("hours")
            while self.messages:
                self.deliver(0, True, False, False)
                self.the_ledger_is_as_it_should_be()
        assert not [m for m in self.model.values() if m.state == "pending"]
        assert self.ledger.tickets() == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("examples", "steps"), [(15, 25), pytest.param(80, 50, marks=pytest.mark.heavy)])
def test_nothing_is_lost_or_doubled_whatever_happens(database: str, examples: int, steps: int) -> None:
    ledger = Ledger(database, deadline=30 * PATIENCE)
    door = IntakeLedger(engines.Engine(database), patience=300.0, window=20_000)
    ledger.intake = Intake(door, KeptBack(), ledger.registry, deadline=30 * PATIENCE, head_start=2.0)
    connection = psycopg2.connect(database)
    connection.autocommit = True
    stateful.run_state_machine_as_test(
        type("Machine", (Machine,), {"ledger": ledger, "connection": connection}),
        settings=hypothesis.settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(hypothesis.HealthCheck), report_multiple_bugs=False,
            # Making a find smaller takes minutes: `phases` is for who has one.
            phases=[hypothesis.Phase.generate],
        ),
    )  # fmt: skip
