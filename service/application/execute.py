"""Execute: a ticket's events are claimed, handed to their handler, and finished, in one transaction.

Three ways, from fast to careful:

* **bundle**: all events in one transaction. Whatever is raised, at the commit too, undoes all of it, and they are
* **singly**: worked one transaction each, so that the one that fails takes nobody along.
* **carefully**: a ticket that the broker delivers again may have killed its worker. One event at a time, and the crash
  is counted *before* the run: an event that kills its process every time is a dead letter after three.

Only after the commit does Celery ack. Delivered twice, a ticket finds nothing open, and the effect happens once.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import msgspec

from service import crashpoints
from service.application import calling, context, places, ports
from service.domain import errors, event, handlers, outcome, topology
from service.domain import ticket as tickets
from service.domain.outcome import Outcome, Reason, Word

log = logging.getLogger("millrace.work")

CUT = 0.25  #: seconds of work after which a bundle is cut: what is done is committed, the rest is due at once
CRASHES = 3  #: more than these, and the event is dead
TRACEBACK = 16_384  #: characters kept
MESSAGE = 2_048  #: characters kept
FINE = (Word.DONE, Word.EXPIRED)  #: outcomes that are committed together with the handlers' effects
TIME_LIMIT = "TimeLimit"  #: the error's name when a handler ran longer than its soft limit
CONFLICTS = 5.0  #: seconds for which a ticket whose handler meets conflicts is tried again in place
PUT_OFF = 0.25  #: of its age, for which an event is put off at the most while its handler cannot work
PUT_OFF_RANGE = (1.0, 300.0)  #: seconds, likewise


@dataclasses.dataclass(slots=True, repr=False)
class Report:
    """What came of a ticket. The worker's parent counts it: Celery hands it the repr, which therefore is JSON."""

    type: str
    words: dict[str, int] = dataclasses.field(default_factory=dict)
    runs: list[float] = dataclasses.field(default_factory=list)  #: seconds in the handler, by event that reached it
    latencies: list[float] = dataclasses.field(default_factory=list)  #: seconds from accepted to committed
    waits: list[float] = dataclasses.field(default_factory=list)  #: seconds from due to the handler's start, by event
    faults: dict[str, int] = dataclasses.field(default_factory=dict)  #: of the ledger, that this process met meanwhile
    trace: str | None = None  #: the W3C traceparent of the slowest event that succeeded, if it has one

    def count(self, word: Word, n: int = 1) -> None:
        """Count an outcome."""
        if n:
            self.words[word.value] = self.words.get(word.value, 0) + n

    def __repr__(self) -> str:
        words = {word.value: self.words.get(word.value, 0) for word in Word}
        runs = [round(s, 6) for s in self.runs]
        latencies, waits = [round(s, 4) for s in self.latencies], [round(s, 4) for s in self.waits]
        found: dict[str, Any] = {
            "type": self.type, **words, "runs": runs, "latencies": latencies, "waits": waits, "trace": self.trace,
        }  # fmt: skip
        if self.faults:
            found["faults"] = self.faults
        return msgspec.json.encode(found).decode()


@dataclasses.dataclass(slots=True)
class _Run:
    """An event after its handler has run."""

    claimed: ports.Claimed
    outcome: Outcome
    seconds: float
    begun: float | None  #: monotonic time at which its handler was called; None: it was not

    @property
    def waited(self) -> float:
        """Seconds from the instant when it was due to the start of its handler; 0 where that was not called."""
        return 0.0 if self.begun is None else max(0.0, self.claimed.waited + self.begun - self.claimed.at)


@dataclasses.dataclass(slots=True)
class _Turn:
    """A ticket whose events are worked one by one."""

    delivery: tickets.Delivery
    handler: handlers.Handler
    report: Report
    left: list[str]  #: event ids that were not worked yet
    begin: float = dataclasses.field(default_factory=time.monotonic)
    settled: bool = False

    def settle(self, work: ports.Work) -> None:
        """Settle the ticket in this commit, if its events are through or it is time to cut."""
        if not self.left or time.monotonic() - self.begin > CUT:
            work.settle(self.delivery, self.left)
            self.settled = True


class NoStrikes:
    """Where no time limit strikes (``ports.Strikes``)."""

    def hold(self) -> None:
        """Nothing comes that could wait."""

    def release(self) -> None:
        """Nothing has waited."""


class Executor:
    """Executes tickets, one at a time."""

    def __init__(
        self,
        ledger: ports.WorkLedger,
        registry: handlers.Registry,
        *,
        limits: tuple[float, float],
        time_limit_errors: tuple[type[BaseException], ...] = (),
        strikes: ports.Strikes | None = None,
        leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._limits = limits  #: seconds, soft and hard, for handlers that name none
        self._time_limit_errors = time_limit_errors
        self._strikes = strikes or NoStrikes()
        self._leaving = leaving  #: whether this process was told to end, which raises SystemExit wherever it is

    def execute(self, delivery: tickets.Delivery) -> Report:
        """Work a delivery; raises UnknownEventType, and what the ledger raises when it is not to be had."""
        handler = self._registry.get(delivery.type)
        report = Report(delivery.type)
        self._strikes.release()
        if delivery.careful:
            self._singly(delivery, handler, report, careful=True)
        elif len(delivery.event_ids) == 1 or not self._bundle(delivery, handler, report):
            for part in delivery.parts:
                self._singly(part, handler, report)
        return report

    # --- bundle -------------------------------------------------------------------------------------------------

    def _bundle(self, delivery: tickets.Delivery, handler: handlers.Handler, report: Report) -> bool:
        """Work all events in one transaction; False if that was undone and they must be worked singly."""
        try:
            with self._work(handler, delivery) as work:
                claimed = work.claim(delivery, delivery.event_ids)
                crashpoints.reach("after_claim")
                runs, rest = self._run_bundle(work, delivery, handler, claimed)
                fine = all(r.outcome.word in FINE for r in runs)
                if fine:
                    work.close_session()
                    self._strikes.hold()
                    self._commit(work, delivery, handler, runs, rest)
        except Exception as error:
            if isinstance(error, self._time_limit_errors) or self._ledger.is_infrastructure(error):
                raise  # No event is to blame; for each of them there is no time left.
            return False
        if fine:
            self._count(report, runs, skipped=len(delivery.event_ids) - len(claimed))
            return True
        return self._give_way(delivery, handler, runs[-1], report)

    def _give_way(self, delivery: tickets.Delivery, handler: handlers.Handler, run: _Run, report: Report) -> bool:
        """After a time limit there is no time for the others: they go back at once, without the one that took it."""
        failure = run.outcome.failure
        if handler.bulk or failure is None or failure.error != TIME_LIMIT:
            return False
        left = [i for i in delivery.event_ids if i != run.claimed.event.id]
        self._write_failure(_Turn(delivery, handler, report, left, begin=-math.inf), run)
        self._count(report, [run])
        return True

    def _run_bundle(
        self, work: ports.Work, delivery: tickets.Delivery, handler: handlers.Handler, claimed: list[ports.Claimed]
    ) -> tuple[list[_Run], list[str]]:
        """The runs that were made, and the ids that are left because the bundle was cut."""
        if handler.bulk:
            return self._run_bulk(work, delivery, handler, claimed, shared=True), []
        begin = time.monotonic()
        runs: list[_Run] = []
        for number, one in enumerate(claimed):
            runs.append(self._run(work, delivery, handler, one, shared=True))
            if runs[-1].outcome.word not in FINE:
                break
            if time.monotonic() - begin > CUT:
                return runs, [c.event.id for c in claimed[number + 1 :]]
        return runs, []

    # --- singly -------------------------------------------------------------------------------------------------

    def _singly(
        self, delivery: tickets.Delivery, handler: handlers.Handler, report: Report, *, careful: bool = False
    ) -> None:
        turn = _Turn(delivery, handler, report, left=list(delivery.event_ids))
        while turn.left:
            self._strikes.release()
            event_id = turn.left.pop(0)
            crashes = self._count_crash(turn, event_id) if careful else 0
            if crashes is None:
                # It is closed, or another worker has it. Nobody runs it uncounted.
                with self._work(handler, delivery) as work:
                    self._skip(turn, work)
            elif crashes > CRASHES:
                self._bury(turn, event_id)
            else:
                with self._no_crash_after_all(turn, event_id):
                    self._one(turn, event_id)
            if turn.settled:
                return

    def _count_crash(self, turn: _Turn, event_id: str) -> int | None:
        # A delivery that is tried again in this process, because the ledger was away, has crashed nobody.
        counted = turn.delivery.counted
        if event_id in counted:
            return counted[event_id]
        crashpoints.reach("before_crash_count")
        with self._work(turn.handler, turn.delivery) as work:
            crashes = work.count_crash(turn.delivery, event_id, 1)
            work.commit()
        if crashes is not None:
            counted[event_id] = crashes
        crashpoints.reach("after_crash_count")
        return crashes

    @contextmanager
    def _no_crash_after_all(self, turn: _Turn, event_id: str) -> Iterator[None]:
        """A run that has left its process alive, or was ended with it from outside, has no crash to its name."""
        try:
            yield
        except Exception as error:
            if isinstance(error, self._time_limit_errors) or self._ledger.is_infrastructure(error):
                self._take_back(turn, event_id)
            raise
        except BaseException:
            # The hard limit begins in this way, too.
            soft, _ = turn.handler.limits(*self._limits)
            if self._leaving() and time.monotonic() - turn.delivery.since < soft:
                with suppress(Exception):
                    self._take_back(turn, event_id)
            raise

    def _take_back(self, turn: _Turn, event_id: str) -> None:
        if event_id not in turn.delivery.counted:
            return
        with self._work(turn.handler, turn.delivery) as work:
            left = work.count_crash(turn.delivery, event_id, -1)
            work.commit()
        if left is not None:
            del turn.delivery.counted[event_id]

    def _skip(self, turn: _Turn, work: ports.Work) -> None:
        turn.report.count(Word.SKIPPED)
        turn.settle(work)
        work.commit()

    def _one(self, turn: _Turn, event_id: str) -> None:
        with self._work(turn.handler, turn.delivery) as work:
            claimed = work.claim(turn.delivery, [event_id])
            crashpoints.reach("after_claim")
            if not claimed:
                self._skip(turn, work)
                return
            if turn.handler.bulk:
                run = self._run_bulk(work, turn.delivery, turn.handler, claimed, shared=False)[0]
            else:
                run = self._run(work, turn.delivery, turn.handler, claimed[0], shared=False)
            if run.outcome.word in FINE:
                run = self._try_commit(work, turn, run)
        if run.outcome.word not in FINE:
            # The effects are undone with their transaction; what came of it is written in one of its own.
            self._write_failure(turn, run)
        self._count(turn.report, [run])

    def _try_commit(self, work: ports.Work, turn: _Turn, run: _Run) -> _Run:
        """Commit a successful run; what shows at the commit only is its outcome all the same."""
        try:
            work.close_session()
            self._strikes.hold()
            work.finish(turn.delivery, [run.outcome], {}, run.seconds, _late(turn.handler, [run]))
            turn.settle(work)
            work.commit()
            crashpoints.reach("after_commit_before_ack")
        except Exception as error:
            self._strikes.hold()
            came = self._came_of(work, turn.delivery, turn.handler, run.claimed, error)
            return dataclasses.replace(run, outcome=came)
        return run

    def _write_failure(self, turn: _Turn, run: _Run) -> None:
        with self._work(turn.handler, turn.delivery) as work:
            if work.claim(turn.delivery, [run.claimed.event.id]):
                work.finish(
                    turn.delivery,
                    [run.outcome],
                    _attempts(turn.handler, [run]),
                    run.seconds,
                    _late(turn.handler, [run]),
                )
            turn.settle(work)
            work.commit()
        if run.outcome.word is Word.SNOOZED and (failure := run.outcome.failure) is not None:
            found = {"action": "work.put_off", "event_id": run.claimed.event.id}
            log.warning("An event is put off: %s", failure.message.split("\n")[0], extra=found)

    def _bury(self, turn: _Turn, event_id: str) -> None:
        failure = outcome.Failure("WorkerLost", f"its worker was lost {CRASHES} times while it ran")
        dead = Outcome(event_id, Word.DEAD, failure=failure, reason=Reason.WORKER_LOST)
        with self._work(turn.handler, turn.delivery) as work:
            runs = [_Run(c, dead, 0.0, None) for c in work.claim(turn.delivery, [event_id])]
            work.finish(turn.delivery, [r.outcome for r in runs], _attempts(turn.handler, runs), None)
            turn.settle(work)
            work.commit()
        self._count(turn.report, runs, skipped=1 - len(runs))

    # --- one run ------------------------------------------------------------------------------------------------

    def _run(
        self,
        work: ports.Work,
        delivery: tickets.Delivery,
        handler: handlers.Handler,
        claimed: ports.Claimed,
        *,
        shared: bool,
    ) -> _Run:
        if claimed.expired:
            return _Run(claimed, Outcome(claimed.event.id, Word.EXPIRED), 0.0, None)
        begin = time.monotonic()
        try:
            found = claimed.event
            payload = handler.parse(found.payload) if handler.parse else found.payload
            crashpoints.reach("in_handler")
            answer = calling.call(handler, payload, context.Context(work, [found], shared=shared))
            result = self._answered(handler, found, answer)
        except BaseException as error:
            self._strikes.hold()
            result = self._came_of(work, delivery, handler, claimed, error)
        return _Run(claimed, result, time.monotonic() - begin, begin)

    def _run_bulk(
        self,
        work: ports.Work,
        delivery: tickets.Delivery,
        handler: handlers.Handler,
        claimed: list[ports.Claimed],
        *,
        shared: bool,
    ) -> list[_Run]:
        late = [_Run(c, Outcome(c.event.id, Word.EXPIRED), 0.0, None) for c in claimed if c.expired]
        live = [c for c in claimed if not c.expired]
        if not live:
            return late
        begin = time.monotonic()
        try:
            found = [c.event.with_payload(handler.parse(c.event.payload)) if handler.parse else c.event for c in live]
            crashpoints.reach("in_handler")
            answer = calling.call(handler, found, context.Context(work, found, shared=shared))
            first = self._answered(handler, live[0].event, answer)
        except BaseException as error:
            self._strikes.hold()
            first = self._came_of(work, delivery, handler, live[0], error)
        each = (time.monotonic() - begin) / len(live)
        return late + [_Run(c, Outcome(c.event.id, *first[1:]), each, begin) for c in live]

    def _answered(self, handler: handlers.Handler, found: event.Event, answer: Any) -> Outcome:
        if isinstance(answer, outcome.Answer):
            return self._in_words(handler, found, answer)
        # A result that is no JSON is the handler's fault, and must come out before the commit.
        json.dumps(answer, allow_nan=False)
        return Outcome(found.id, Word.DONE, result=answer)

    def _came_of(
        self,
        work: ports.Work,
        delivery: tickets.Delivery,
        handler: handlers.Handler,
        claimed: ports.Claimed,
        error: BaseException,
    ) -> Outcome:
        """What comes of an event whose handler has raised this; raises what is not its own."""
        now = time.monotonic()
        if self._leaving() or not work.is_infrastructure(error):
            return self._raised(work, handler, claimed.event, error)
        if work.lost or (work.is_conflict(error) and now - delivery.since < CONFLICTS):
            raise error
        # Our connection stands: it may be this handler alone who lacks something, so nobody else waits for it. If the
        # ledger cannot write this either, its event waits with all others.
        least, most = PUT_OFF_RANGE
        wait = random.uniform(0.5, 1.0) * min(most, max(least, PUT_OFF * (claimed.age + now - claimed.at)))
        failure = outcome.Failure(type(error).__name__, clean(_message(error))[:MESSAGE])
        return Outcome(claimed.event.id, Word.SNOOZED, failure=failure, delay=wait)

    def _raised(
        self, work: ports.Faults, handler: handlers.Handler, found: event.Event, error: BaseException
    ) -> Outcome:
        # Whatever a handler raises is its outcome, an `asyncio.CancelledError` or `sys.exit()` too; but not what was
        # meant for its process, or befell the road.
        if isinstance(error, errors.ModelFailed) and error.__cause__ is not None:
            error = error.__cause__  # Code that fails is tried again, as a handler's is.
        if self._leaving() or work.is_infrastructure(error):
            raise error
        if isinstance(error, outcome.Answer):
            return self._in_words(handler, found, error)
        if isinstance(error, errors.InvalidEvent):
            detail = "; ".join(f"{f.pointer or '/'}: {f.detail}" for f in error.faults)
            failure = outcome.Failure("InvalidEvent", clean(detail)[:MESSAGE])
            return Outcome(found.id, Word.DEAD, failure=failure, reason=Reason.INVALID)
        return self._failed(handler, found, error, overtime=work.is_overtime(error))

    def _in_words(self, handler: handlers.Handler, found: event.Event, answer: outcome.Answer) -> Outcome:
        if isinstance(answer, outcome.Snooze):
            return Outcome(found.id, Word.SNOOZED, until=answer.until, delay=answer.seconds)
        if isinstance(answer, outcome.Discard):
            failure = outcome.Failure("Discard", clean(answer.reason)[:MESSAGE])
            return Outcome(found.id, Word.DEAD, failure=failure, reason=Reason.DISCARDED)
        assert isinstance(answer, outcome.Retry)
        return self._failed(handler, found, answer, delay=answer.after)

    def _failed(
        self,
        handler: handlers.Handler,
        found: event.Event,
        error: BaseException,
        delay: float | None = None,
        *,
        overtime: bool = False,
    ) -> Outcome:
        if overtime or isinstance(error, self._time_limit_errors):
            failure = outcome.Failure(TIME_LIMIT, "it ran longer than its soft limit")
        else:
            trace = places.shortened("".join(traceback.format_exception(error)))[-TRACEBACK:]
            failure = outcome.Failure(type(error).__name__, clean(_message(error))[:MESSAGE], clean(trace))
        if isinstance(error, handler.no_retry):
            return Outcome(found.id, Word.DEAD, failure=failure, reason=Reason.NO_RETRY)
        if found.attempt >= handler.attempts:
            return Outcome(found.id, Word.DEAD, failure=failure, reason=Reason.ATTEMPTS)
        wait = handler.backoff.delay(found.attempt) if delay is None else delay
        return Outcome(found.id, Word.RETRY, failure=failure, delay=wait)

    # --- together -----------------------------------------------------------------------------------------------

    def _commit(
        self, work: ports.Work, delivery: tickets.Delivery, handler: handlers.Handler, runs: list[_Run], rest: list[str]
    ) -> None:
        seconds = sum(r.seconds for r in runs)
        work.finish(delivery, [r.outcome for r in runs], {}, seconds, _late(handler, runs))
        work.settle(delivery, rest)
        work.commit()
        crashpoints.reach("after_commit_before_ack")

    def _count(self, report: Report, runs: Sequence[_Run], skipped: int = 0) -> None:
        now = time.monotonic()
        slowest = max(report.latencies, default=0.0)
        for word, number in Counter([run.outcome.word for run in runs]).items():
            report.count(word, number)
        begun = [run for run in runs if run.begun is not None]
        report.runs += [run.seconds for run in begun]
        report.waits += [run.waited for run in begun]
        for claimed in [run.claimed for run in runs if run.outcome.word is Word.DONE]:
            latency = max(0.0, claimed.age + now - claimed.at)
            report.latencies.append(latency)
            if latency >= slowest:
                slowest, report.trace = latency, claimed.event.traceparent
        report.count(Word.SKIPPED, skipped)

    def _work(self, handler: handlers.Handler, delivery: tickets.Delivery) -> AbstractContextManager[ports.Work]:
        return self._ledger.work(handler.limits(*self._limits), delivery.since)


def _late(handler: handlers.Handler, runs: Sequence[_Run]) -> int:
    """How many were begun later than the type's objective allows; 0 where there is none."""
    if handler.objective is None:
        return 0
    most = handler.objective.seconds
    return sum(run.waited > most for run in runs)


def _attempts(handler: handlers.Handler, runs: Sequence[_Run]) -> dict[str, ports.Attempt]:
    return {r.claimed.event.id: _attempt(handler, r) for r in runs}


def _attempt(handler: handlers.Handler, run: _Run) -> ports.Attempt:
    """A tick stays with the queue of ticks for all its attempts."""
    found = run.claimed.event
    if found.schedule is not None:
        exchange, key = topology.tick_route(found.schedule)
        return ports.Attempt(found, exchange, key, topology.PERIODIC_QUEUE, run.seconds)
    exchange, key = topology.event_route(found.type, handler.queue)
    return ports.Attempt(found, exchange, key, handler.queue, run.seconds)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:
        return f"(its message cannot be had: {type(another).__name__})"


def clean(text: str) -> str:
    """What PostgreSQL can keep: no NUL, no lone surrogate."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
