"""Execute, detached: a handler that takes minutes or hours, or works outside the ledger's database.

No transaction is held while it runs. The claim commits ``running`` with a lease, and with a ticket of this run's own
that is due when the lease ends; a thread renews both. A worker that is lost renews nothing: its ticket becomes due, the
clock publishes it, and whoever gets it takes the event over. Its message was acked when the run began, for the lease
and not the broker brings the event back: so the work may take longer than RabbitMQ waits for an ack.

The effect happens at least once, its outcome is written once: what is written about a run names its ticket and its
attempt, and a run that was taken over finds neither.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from service import crashpoints
from service.application import calling, context, ports
from service.application import execute as atomic
from service.application.lease import Lease
from service.domain import errors, handlers, outcome, topology
from service.domain import ticket as tickets
from service.domain.outcome import Outcome, Reason, Word

log = logging.getLogger("millrace.work")

T = TypeVar("T")

AFTER_FAULT = 5.0  #: seconds until a run that was stopped by a fault of the infrastructure begins again
PAUSE = (0.2, 5.0)  #: seconds between tries to write an outcome while the ledger is away: first, longest


class Context(context.Context):
    """The surroundings of a detached run."""

    def __init__(self, leases: ports.LeaseLedger, lease: Lease, run: ports.Run) -> None:
        self._events = [run.event]
        self.traceparent = run.event.traceparent
        self._leases = leases
        self._lease = lease
        self.opened: Any = None  #: the session, if the handler has asked for one
        self.log = logging.LoggerAdapter(context.log, {"action": "handler", "event_id": run.event.id})

    @property
    def session(self) -> Any:
        """A SQLAlchemy session of this run, with transactions of its own: ``commit()`` them, and before long work.

        What is not committed when the handler returns is committed together with its outcome. Raises LeaseLost.
        """
        self._lease.hold()
        if self.opened is None:
            self.opened = self._leases.session()
        return self.opened

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the work is: 0 to 1, and a few words. Raises Cancelled, LeaseLost."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress: a fraction from 0 to 1 is wanted, not {fraction!r}")
        self._lease.progress(float(fraction), atomic.clean(str(message))[: atomic.MESSAGE])

    def check(self) -> None:
        """Raises Cancelled when somebody cancelled the event, LeaseLost when it is another's by now."""
        self._lease.check()

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled the event."""
        return self._lease.cancelled

    def is_infrastructure(self, error: BaseException) -> bool:
        """Whether the handler is not to blame for an error that it raised."""
        return self.opened is not None and bool(self.opened.is_infrastructure(error))

    def hang_up(self) -> None:
        """End what the handler waits for in its session, from another thread: it may do nothing more there."""
        if self.opened is not None:
            self.opened.hang_up()

    def undo(self) -> None:
        """Forget what was not committed."""
        if self.opened is not None:
            self.opened.close()


class Executor(atomic.Executor):
    """Executes tickets of both kinds of handlers, one at a time."""

    def __init__(
        self,
        ledger: ports.WorkLedger,
        registry: handlers.Registry,
        *,
        leases: ports.LeaseLedger,
        lease: float,
        end_process: Callable[[], None] | None = None,
        retiring: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> None:
        super().__init__(ledger, registry, **options)
        self._leases = leases
        self._lease = lease  #: seconds
        self._end_process = end_process  #: kills this process, where it is the run's alone
        self._retiring = retiring  #: whether the worker was told to end, and its grace has passed

    def execute(self, delivery: tickets.Delivery) -> atomic.Report:
        """Work a delivery; raises as for an atomic handler."""
        handler = self._registry.get(delivery.type)
        if not handler.detached:
            return super().execute(delivery)
        report = atomic.Report(delivery.type)
        since = time.monotonic()
        run = self._take(delivery, handler, report)
        if run is not None:
            crashpoints.reach("after_claim")
            self._work_through(delivery, handler, run, since, report)
        return report

    # --- take ---------------------------------------------------------------------------------------------------

    def _take(self, delivery: tickets.Delivery, handler: handlers.Handler, report: atomic.Report) -> ports.Run | None:
        """Begin a run, or take one over that was lost; None if there is nothing to run."""
        with self._leases.work() as work:
            run, word = None, Word.SKIPPED
            if len(delivery.event_ids) > 1:
                work.move(delivery, handler.queue)  # Its handler was atomic when they were bundled.
            elif (found := work.find(delivery)) is None or (found.live and not found.ours):
                work.settle(delivery)
            elif found.running:
                run, word = self._rescue(work, delivery, handler, found)
            elif found.expired:
                work.expire(delivery, found.run)
                word = Word.EXPIRED
            elif delivery.queue != handler.queue:
                work.move(delivery, handler.queue)  # A tick, or from before a deploy.
            else:
                run = work.start(found.run, handler.queue, _new_ticket(delivery))
            work.commit()
        if run is None:
            report.count(word, len(delivery.event_ids))
        return run

    def _rescue(
        self, work: ports.LeaseWork, delivery: tickets.Delivery, handler: handlers.Handler, found: ports.Found
    ) -> tuple[ports.Run | None, Word]:
        """Its lease has ended: the worker is lost, or frozen. A crash is no attempt.

        Or it is ours, and the answer to the commit that began it was lost: that is no crash either.
        """
        run = found.run
        attempt = _attempt(handler, run, 0.0)
        if found.cancelled:
            return None, work.end(delivery, run, Outcome(run.event.id, Word.CANCELLED), attempt)
        if found.ours:
            return work.go_on(run), Word.SKIPPED
        if run.event.crashes >= atomic.CRASHES:
            failure = outcome.Failure("WorkerLost", f"its worker was lost {atomic.CRASHES + 1} times while it ran")
            dead = Outcome(run.event.id, Word.DEAD, failure=failure, reason=Reason.WORKER_LOST)
            return None, work.end(delivery, run, dead, attempt)
        log.warning("A lost run is taken over", extra={"action": "lease.taken_over", "event_id": run.event.id})
        return work.take_over(run, handler.queue, _new_ticket(delivery)), Word.SKIPPED

    # --- work ---------------------------------------------------------------------------------------------------

    def _work_through(
        self,
        delivery: tickets.Delivery,
        handler: handlers.Handler,
        run: ports.Run,
        since: float,
        report: atomic.Report,
    ) -> None:
        def end(cancelled: bool) -> None:
            assert self._end_process is not None
            self._end_by_force(delivery, handler, run, cancelled, time.monotonic() - since)
            self._end_process()

        def hang_up() -> None:
            ctx.hang_up()

        lease = Lease(
            self._leases,
            run,
            seconds=self._lease,
            since=since,
            end=end if self._end_process is not None else None,
            leaving=self._retiring,
            hang_up=hang_up,
        )
        ctx = Context(self._leases, lease, run)
        word = Word.SKIPPED
        with lease:
            try:
                result = self._call(handler, run, ctx, lease)
                seconds = time.monotonic() - since
                if result is None:
                    word = self._insist(run, lambda: self._give_back(delivery, handler, run, AFTER_FAULT))
                else:
                    word = self._finish(delivery, handler, run, ctx, result, seconds, lease.take_progress())
            except errors.LeaseLost:
                # Whoever has the event now says what becomes of it.
                log.warning("A run ended after its lease", extra={"action": "lease.late", "event_id": run.event.id})
            except BaseException:
                self._leave(delivery, handler, run)
                raise
            finally:
                ctx.undo()
        report.count(word)
        if word is not Word.SKIPPED:
            report.runs.append(time.monotonic() - since)
            report.waits.append(max(0.0, run.waited))
        if word is Word.DONE:
            report.latencies.append(run.age + time.monotonic() - since)
            report.trace = run.event.traceparent

    def _call(self, handler: handlers.Handler, run: ports.Run, ctx: Context, lease: Lease) -> Outcome | None:
        """Run the handler: what came of it, or None when the run shall be as if it had not begun."""
        try:
            payload = handler.parse(run.event.payload) if handler.parse else run.event.payload
            crashpoints.reach("in_handler")
            return self._answered(handler, run.event, calling.call(handler, payload, ctx))
        except errors.LeaseLost:
            raise
        except BaseException as error:
            if isinstance(error, errors.Cancelled) and lease.cancelled:
                return Outcome(run.event.id, Word.CANCELLED)
            if not self._leaving() and ctx.is_infrastructure(error):
                log.warning(
                    "A run was stopped: the ledger is away",
                    extra={"action": "work.waiting", "event_id": run.event.id},
                )
                return None
            return self._raised(ctx, handler, run.event, error)
        finally:
            lease.stop()

    def _finish(
        self,
        delivery: tickets.Delivery,
        handler: handlers.Handler,
        run: ports.Run,
        ctx: Context,
        result: Outcome,
        seconds: float,
        progress: ports.Progress | None,
    ) -> Word:
        """Write what came of a run, however long the ledger must be waited for; raises LeaseLost."""
        attempt = _attempt(handler, run, seconds)
        late = handler.objective is not None and run.waited > handler.objective.seconds

        def write(found: Outcome, session: Any = None) -> Word:
            with self._leases.work(session) as work:
                word = work.end(delivery, run, found, attempt, progress, late)
                work.commit()
            crashpoints.reach("after_commit_before_ack")
            return word

        if result.word is Word.DONE and ctx.opened is not None and ctx.opened.in_transaction():
            try:
                return write(result, ctx.opened)
            except errors.LeaseLost:
                raise
            except Exception as error:
                # The last part of the effect is undone with its transaction, so it is no success.
                if ctx.is_infrastructure(error) or self._leases.is_infrastructure(error):
                    return self._insist(run, lambda: self._give_back(delivery, handler, run, AFTER_FAULT))
                result = self._failed(handler, run.event, error)
        ctx.undo()
        try:
            return self._insist(run, lambda: write(result))
        except errors.LeaseLost:
            raise
        except Exception as error:
            if result.word is not Word.DONE or self._leases.is_infrastructure(error):
                raise
            # The ledger refuses what it has returned, as it would the next time.
            failed = self._failed(handler, run.event, error)
            return self._insist(run, lambda: write(failed))

    def _insist(self, run: ports.Run, action: Callable[[], T]) -> T:
        """Do it, and again until the ledger is there: hours of work shall not be done again for a short outage."""
        pause = PAUSE[0]
        while True:
            try:
                return action()
            except self._time_limit_errors:
                continue  # Too late: the handler has ended.
            except Exception as error:
                if self._retiring() or not self._leases.is_infrastructure(error):
                    raise
                log.warning(
                    "An outcome waits for the ledger: %s",
                    str(error).split("\n")[0],
                    extra={"action": "work.waiting", "event_id": run.event.id},
                )
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(PAUSE[1], pause * 2)

    def _give_back(self, delivery: tickets.Delivery, handler: handlers.Handler, run: ports.Run, delay: float) -> Word:
        with self._leases.work() as work:
            word = work.give_back(delivery, run, handler.queue, delay)
            work.commit()
        return word

    def _leave(self, delivery: tickets.Delivery, handler: handlers.Handler, run: ports.Run) -> None:
        """The process was told to end in the middle of the run, or something went wrong that nobody thought of."""
        try:
            self._give_back(delivery, handler, run, 0.0 if self._leaving() else AFTER_FAULT)
        except Exception as error:
            # Its lease will end.
            log.warning(
                "A run could not be given back: %s", error, extra={"action": "lease.failed", "event_id": run.event.id}
            )

    def _end_by_force(
        self, delivery: tickets.Delivery, handler: handlers.Handler, run: ports.Run, cancelled: bool, seconds: float
    ) -> None:
        """Write why the run ends here, which its process will not survive. Called by the thread of the lease."""
        found = {"event_id": run.event.id}
        try:
            if not cancelled:
                self._give_back(delivery, handler, run, 0.0)
                log.warning("A run is given back: its worker ends", extra={"action": "lease.given_back", **found})
                return
            with self._leases.work() as work:
                work.end(delivery, run, Outcome(run.event.id, Word.CANCELLED), _attempt(handler, run, seconds))
                work.commit()
            log.warning("A run is ended: it was cancelled", extra={"action": "lease.cancelled", **found})
        except errors.LeaseLost:
            log.warning("A run that lost its lease is ended", extra={"action": "lease.late", **found})
        except Exception as error:
            # A worker that must go goes; then the lease brings the event back.
            if cancelled or not self._leases.is_infrastructure(error):
                raise


def _new_ticket(delivery: tickets.Delivery) -> str:
    """The id of the ticket of the run that a delivery begins. It keeps it: so it knows the run when it comes again."""
    return delivery.begun.setdefault(delivery.event_ids[0], str(uuid.uuid4()))


def _attempt(handler: handlers.Handler, run: ports.Run, seconds: float) -> ports.Attempt:
    exchange, key = topology.event_route(run.event.type, handler.queue)
    return ports.Attempt(run.event, exchange, key, handler.queue, seconds)
