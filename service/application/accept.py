"""Accept: events become durable, together with their ticket, before anybody is told ``202``.

The web threads hand their events to the one intake thread of the process and wait. It takes all that has gathered
while its last flush was under way, writes it in one commit, releases the requests, and hands the tickets to the
publisher. Commit first, then publish: a ticket that is never published is found by the clock; a published ticket
without its events would be a lie.

Whoever posts alone is stored at once. Where several post, those that were just answered are back in a moment, and the
next flush waits a few milliseconds for them: what a flush costs is shared by more (decision 15).
"""

from __future__ import annotations

import datetime
import logging
import math
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from service import crashpoints, signals
from service.application import keys, outlook, planning, ports
from service.application.publish import Publisher
from service.application.submission import Accepted, Phase, Submission, Told
from service.domain import errors, event, handlers, ids
from service.domain import ticket as tickets

log = logging.getLogger("millrace.accept")

FLUSH = 256  #: events in a flush, about: a submission is never split
SIBLINGS = 4  #: submissions in a flush from which on the next one waits for as many; cf. PostgreSQL's commit_siblings
WAIT = 2.0  #: how long they are waited for at most, in times of the last flush
LONGEST_WAIT = 0.01  #: seconds, however long that took
QUEUE = 4_000  #: submissions that may wait; more are refused at once
LOOK_EVERY = 0.2  #: seconds after which it is looked for tickets to mark out, flush or no flush
TELL_EVERY = 5.0  #: seconds between lines about a ledger that is away
MARK_BATCH = 1_000  #: tickets marked out in one flush
SILENT = 3  #: deadlines after which a flush is not waited for any more; the ledger itself gives it two
LONGEST_RETRY = 30  #: seconds that a client is asked to wait at most, however long the ledger is away


Outcome = Accepted | errors.MillraceError  #: of one among several events that are stored each by itself


class Intake:
    """The group commit of one process."""

    def __init__(
        self,
        ledger: ports.IntakeLedger,
        publisher: Publisher,
        registry: handlers.Registry,
        *,
        deadline: float,
        head_start: float,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._registry = registry
        self._deadline = deadline
        self._head_start = head_start
        self._waiting: deque[Submission] = deque()
        self._wake = threading.Event()
        self._wanted = 1  # Submissions that are to wait before the thread is woken.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closing = False
        self._held = ports.Held()
        self._recent = planning.Recent()
        self._quiet_until = 0.0
        self._away_since: float | None = None  # Since when the ledger cannot be used.
        self._round_since: float | None = None  # Since when the thread has been at it.
        self._hung_up = False

    def submit(self, events: Sequence[event.NewEvent], within: float | None = None) -> list[Accepted]:
        """Store events, all or none of them, and wait until that is done.

        ``within``: seconds; None: the deadline of a request.
        Raises UnknownEventType, KeyReused, InvalidEvent, and NotAccepted when it cannot be done in time.
        """
        for new in events:
            self._registry.get(new.type)
        submission = Submission(events)
        self._hand_over([submission])
        return self._outcome(submission, self._deadline if within is None else within)

    def begin(self, new: event.NewEvent, told: Told, waiter: Any) -> Submission:
        """Hand an event over without waiting: ``told`` is called with the submission when that is answered.

        Raises UnknownEventType, and NotAccepted when too many are waiting. Whoever loses patience calls ``give_up``.
        """
        self._registry.get(new.type)
        submission = Submission([new], told, waiter)
        self._hand_over([submission])
        return submission

    def submit_each(self, events: Sequence[event.NewEvent], within: float | None = None) -> list[Outcome]:
        """Store events, each by itself; what came of each, in order: Accepted, or the error that ``submit`` raises.

        ``within``: seconds until all of them are answered; None: the deadline of a request.
        """
        until = time.monotonic() + (self._deadline if within is None else within)
        found: list[Outcome] = []
        for start in range(0, len(events), FLUSH):
            part = events[start : start + FLUSH]
            try:
                # Most often all of them are well, and then one submission costs a tenth of a hundred.
                found += self._submit_before(until, part)
            except (errors.NotStorable, errors.InvalidEvent):
                found += self._sort_out(part, until)
            except errors.NotAccepted as error:
                found += _each_of(error, len(part))
        return found

    def _sort_out(self, part: Sequence[event.NewEvent], until: float) -> list[Outcome]:
        """The same for some of which the ledger does not take all."""
        submissions = [Submission([new]) for new in part]
        try:
            self._hand_over(submissions)
        except NotStored as error:
            return [error] * len(submissions)
        # They are answered in turn: whoever waits for the last one is woken once, and not a hundred times.
        if submissions[-1].done.acquire(timeout=max(0.0, until - time.monotonic())):
            submissions[-1].done.release()
        found: list[Outcome] = []
        for submission in submissions:
            try:
                found += self._outcome(submission, max(0.0, until - time.monotonic()))
            except errors.MillraceError as error:
                found.append(error)
        return found

    def _submit_before(self, until: float, part: Sequence[event.NewEvent]) -> list[Accepted]:
        if time.monotonic() >= until:
            raise self._not_stored("its turn did not come in time")
        return self.submit(part, max(0.0, until - time.monotonic()))

    def expect(self, one: Accepted, accepted_at: datetime.datetime) -> outlook.Outlook:
        """Why an event that was just accepted waits, and when it should start."""
        queue = self._registry.get(one.type).queue
        return outlook.of(one, queue, accepted_at, self._held, broker=self._publisher.up)

    def _hand_over(self, submissions: Sequence[Submission]) -> None:
        self._start()
        if len(self._waiting) + len(submissions) > QUEUE:
            raise self._not_stored("too many requests are waiting to be stored")
        self._waiting.extend(submissions)
        if len(self._waiting) >= self._wanted:
            self._wake.set()

    def _outcome(self, submission: Submission, within: float) -> list[Accepted]:
        if not submission.done.acquire(timeout=within):
            self.give_up(submission)
        if submission.error is not None:
            raise submission.error
        return submission.accepted

    def _not_stored(self, message: str) -> NotStored:
        return NotStored(message, retry_after=self._retry_after())

    def _retry_after(self) -> int:
        """The longer the ledger has been away, the longer clients are asked to wait."""
        since = self._away_since
        return 1 if since is None else min(LONGEST_RETRY, max(1, math.ceil(time.monotonic() - since)))

    def give_up(self, submission: Submission) -> None:
        """Withdraw a submission. Raises NotAccepted, unless it was answered just now."""
        self._hang_up_if_silent()
        # Compare-and-set against the intake thread, so that "stored: no" is never said of what a flush has taken.
        with self._lock:
            if submission.phase is Phase.WAITING:
                submission.phase = Phase.WITHDRAWN
                raise self._not_stored("the ledger did not answer in time")
            if submission.phase is Phase.TAKEN:
                raise errors.NotAccepted(
                    "the ledger did not answer in time",
                    event_ids=tuple(r.id for r in submission.rows),
                    retry_after=self._retry_after(),
                )

    def _hang_up_if_silent(self) -> None:
        """A flush has lasted so long that nobody waits for it any more: those who come next shall have a new line."""
        since = self._round_since
        if since is not None and time.monotonic() - since > SILENT * self._deadline:
            self._hung_up = True
            self._ledger.hang_up()

    def _start(self) -> None:
        # Threads do not survive a fork, so each process starts its own at the first request.
        if self._thread is not None and self._pid == os.getpid() and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or self._pid != os.getpid() or not self._thread.is_alive():
                self._pid = os.getpid()
                self._closing = False
                self._wanted = 1
                self._thread = threading.Thread(target=self._run, name="millrace-intake", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the threads of this process: what waits is stored, published, and marked out.

        What cannot be done within two deadlines is left to the clocks. An event posted later starts them again.
        """
        if self._thread is not None and self._pid == os.getpid():
            self._closing = True
            self._wake.set()
            self._thread.join(2 * self._deadline)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(LOOK_EVERY)
            self._wake.clear()
            self._work_off()
        self._publisher.close(self._deadline)
        self._work_off()
        self._ledger.drop()

    def _work_off(self) -> None:
        try:
            # With nothing to store this still marks out what the publisher has had confirmed.
            while self._waiting or self._publisher.has_marks(at_once=self._closing):
                self._round_since, self._hung_up = time.monotonic(), False
                batch = self._round()
                self._wait_for_company(batch, time.monotonic() - self._round_since)
        except Exception:
            log.exception("The intake failed in a way that nobody thought of", extra={"action": "intake.failed"})
        finally:
            self._round_since = None

    def _wait_for_company(self, batch: Sequence[Submission], took: float) -> None:
        """Wait until those that were just answered have posted again, beside those that are here already."""
        if len(batch) < SIBLINGS or max(_events(batch), _events(list(self._waiting))) >= FLUSH:
            return
        self._wanted = min(FLUSH, len(batch) + len(self._waiting))
        self._wake.clear()
        if len(self._waiting) < self._wanted and not self._closing:
            self._wake.wait(min(LONGEST_WAIT, WAIT * took))
        self._wanted = 1

    def _round(self) -> list[Submission]:
        """One flush; the submissions that it has answered."""
        try:
            # While this waits for a server that does not answer, nothing is taken, and requests may withdraw.
            self._ledger.open()
            now = self._ledger.clock.now()
        except errors.LedgerUnavailable as error:
            batch = self._take(now=0.0)
            self._fail(batch, error)
            if not batch:
                time.sleep(LOOK_EVERY)  # Nobody waits; do not ask a dead server without pause.
            return []
        batch = self._take(now)
        self._flush(batch)
        return batch

    def _take(self, now: float) -> list[Submission]:
        batch: list[Submission] = []
        size = 0
        moment = planning.instant(now)
        with self._lock:
            while self._waiting and size < FLUSH:
                submission = self._waiting.popleft()
                if submission.phase is Phase.WAITING:
                    submission.phase = Phase.TAKEN
                    # From here on a request that gives up must name what may be stored.
                    submission.rows = [ports.Row(ids.uuid7(now), e.settled(moment)) for e in submission.events]
                    batch.append(submission)
                    size += len(submission.events)
        return batch

    def _flush(self, batch: list[Submission]) -> None:
        """Store a batch; each of its submissions gets its answer, whatever happens."""
        marks = self._publisher.take_marks(MARK_BATCH, at_once=self._closing)
        try:
            stored = self._store(batch, marks)
        except keys.Conflicts as conflicts:
            self._publisher.give_back(marks)
            self._answer(conflicts.submissions)
            self._flush([s for s in batch if s.error is None])
            return
        except ports.FlushRefused as error:
            self._publisher.give_back(marks)
            self._halve(batch, error)
            return
        except errors.LedgerUnavailable as error:
            self._publisher.give_back(marks)
            self._fail(batch, error)
            return
        except Exception as error:
            self._fail(batch, errors.LedgerUnavailable(f"the flush failed: {error!r}"))
            raise
        self._away_since = None
        crashpoints.reach("after_event_commit" if batch else "after_ticket_update")
        self._answer(batch)
        self._publisher.put(stored)

    def _store(self, batch: list[Submission], marks: list[tuple[str, int]]) -> list[tickets.Ticket]:
        """Store a batch; the tickets that this process publishes. A fault of the connection is looked into once."""
        try:
            return self._store_once(batch, marks)
        except ports.FlushFailed as failed:
            if self._hung_up:
                raise  # Whoever posted was told long ago, and the silent server may still commit.
            # Most often the connection has died in the pool, or the commit came through and its answer was lost.
            try:
                self._ledger.open()
                if failed.in_doubt and self._ledger.holds([r.id for s in batch for r in s.rows]):
                    return []  # The clock publishes.
                return self._store_once(batch, marks)
            except (errors.LedgerUnavailable, ports.FlushRefused) as error:
                in_doubt = failed.in_doubt or getattr(error, "in_doubt", False)
                raise ports.FlushFailed(str(error), in_doubt=in_doubt) from error

    def _store_once(self, batch: list[Submission], marks: list[tuple[str, int]]) -> list[tickets.Ticket]:
        with self._ledger.flush() as flush:
            now = self._ledger.clock.now()
            for submission in batch:
                submission.accepted = []  # A second try keeps the ids: they tell whether the first came through.
            rows = keys.settle(flush, batch, planning.instant(now))
            room = self._recent.left(self._held.rooms)
            planned = planning.plan(rows, self._registry, now, held=self._held, room=room, head_start=self._head_start)
            self._held = flush.store(rows, planned, marks)
        # What was paused since the last flush is found out by this one, and left to the clock as well.
        found = [p.ticket for p in planned if p.head_start and not self._held.holds(p.ticket.type, p.ticket.queue)]
        self._recent.note(found, self._held.rooms)
        return found

    def _halve(self, batch: list[Submission], error: errors.MillraceError) -> None:
        """Find the submission that the ledger refuses; only that one is turned away."""
        if not batch:
            raise error  # Nothing was stored, so it is our own statement that is refused.
        if len(batch) == 1:
            batch[0].error = errors.InvalidEvent([errors.Fault("", str(error))], "the ledger refuses this event")
            self._answer(batch)
            return
        middle = len(batch) // 2
        self._flush(batch[:middle])
        self._flush(batch[middle:])

    def _fail(self, batch: list[Submission], error: errors.LedgerUnavailable) -> None:
        in_doubt = isinstance(error, ports.FlushFailed) and error.in_doubt
        self._away_since = self._away_since or time.monotonic()
        if batch and time.monotonic() > self._quiet_until:
            self._quiet_until = time.monotonic() + TELL_EVERY  # Under load there are hundreds a second.
            log.warning("Events could not be stored: %s", error, extra={"action": "accept.unavailable"})
        for submission in batch:
            known = tuple(r.id for r in submission.rows) if in_doubt else ()
            submission.error = errors.NotAccepted(
                "the ledger cannot be used at the moment", event_ids=known, retry_after=self._retry_after()
            )
        self._answer(batch)

    def _answer(self, batch: Sequence[Submission]) -> None:
        others: dict[Told, list[Submission]] = {}
        for submission in batch:
            submission.phase = Phase.ANSWERED
            submission.done.release()
            if submission.told is not None:
                others.setdefault(submission.told, []).append(submission)
        for told, theirs in others.items():
            told(theirs)
        _tell(batch)


class NotStored(errors.NotAccepted):
    """The event was not stored; send it again."""


def _each_of(error: errors.NotAccepted, number: int) -> list[Outcome]:
    """What each event is told of some that were not accepted together: its own id, if it may be stored after all."""
    if not error.event_ids:
        return [error] * number
    return [errors.NotAccepted(str(error), event_ids=(i,), retry_after=error.retry_after) for i in error.event_ids]


def _events(submissions: Sequence[Submission]) -> int:
    return sum(len(s.events) for s in submissions)


def _tell(batch: Sequence[Submission]) -> None:
    """Tell the listeners what came of a batch."""
    counts: dict[str, Counter[str]] = {}
    for submission in batch:
        for number, new in enumerate(submission.events):
            if isinstance(submission.error, errors.KeyReused):
                word = "conflict"
            elif isinstance(submission.error, errors.NotAccepted):
                word = "unavailable"
            elif submission.error is not None:
                word = "invalid"
            else:
                word = "duplicate" if submission.accepted[number].duplicate else "accepted"
            counts.setdefault(word, Counter())[new.type] += 1
    for word, by_type in counts.items():
        signals.events_accepted.send(None, counts=by_type, outcome=word)
