"""What happens, by name. The business code sends; metrics, logs and traces listen (``service.telemetry``).

Sent once per flush, bundle or batch, never once per event, so that listening costs little. Those of traces are the
exception: nobody listens to them unless traces are wanted.
"""

from __future__ import annotations

from typing import Any

import blinker

#: ``counts: dict[type, n]``, ``outcome``: accepted, duplicate, conflict, invalid, unavailable.
events_accepted = blinker.Signal()
#: ``batch`` of tickets, the ids that were ``confirmed``, whether the broker was ``reached``; ``seconds``.
tickets_published = blinker.Signal()
#: ``report``: an application.execute.Report as a dictionary. Sent in the worker's parent.
ticket_finished = blinker.Signal()
#: ``type``, how many ``tickets`` have joined, ``count`` of their events, whether they were ``redelivered``. Sent in the
#: worker's parent when a child takes them.
ticket_started = blinker.Signal()
#: ``type``, ``tickets``, ``outcome``: worker_lost, time_limit, rejected, error. They came back without a report.
ticket_failed = blinker.Signal()
#: ``report``: what came of it, or None. In a worker's parent, after Celery has done its part: a child is idle.
ticket_over = blinker.Signal()
#: ``peer``: broker or ledger; ``up``: bool.
connection_changed = blinker.Signal()
#: ``fault``: service.domain.faults.Fault. PostgreSQL refused something, or could not be reached.
ledger_failed = blinker.Signal()
#: ``reason``: not_signed_in, bad_credential, not_permitted, too_many_failures, too_many_requests.
access_refused = blinker.Signal()
#: ``hard``: the longest hard limit, in seconds, of the handlers that this process knows, without detached ones.
limits_declared = blinker.Signal()
#: ``vhost``, ``queues``: the work queues that this process knows, and where they are.
queues_declared = blinker.Signal()
#: ``due``, ``held``, ``out``: numbers of tickets, as the clock saw them last; ``overdue``: dict[queue, n].
tickets_counted = blinker.Signal()
#: ``waits``: dict[(queue, type), seconds] of what waits longest.
waiting_seen = blinker.Signal()
#: ``sums``: dict[(type, word), n] since the beginning of the ledger; ``opened``: dict[type, n].
tallies_read = blinker.Signal()
#: ``new``: dict[(type, reason), n] that came since the last look; ``unreplayed``: dict[reason, n];
#: ``oldest``: dict[reason, seconds] for which the oldest of those has lain.
letters_read = blinker.Signal()
#: ``without_ticket``: n, ``checked``: n more; ``partitions``: days ahead.
balance_seen = blinker.Signal()
#: ``kept``: service.domain.keeping.Kept. What the ledger has of the past.
past_seen = blinker.Signal()
#: ``objectives``: dict[type, service.domain.objective.Objective].
objectives_declared = blinker.Signal()
#: ``late``: seconds that the most overdue schedule is late, 0 when none is.
schedules_seen = blinker.Signal()
#: ``duty``, ``done``: bool. A clock has done one of its duties, or failed at it.
duty_ended = blinker.Signal()
#: ``queue``. A synthetic event was sent, or a synthetic tick is awaited.
canary_sent = blinker.Signal()
#: ``queue``, ``seconds``, ``loss``: None, or refused, failed, late.
canary_ended = blinker.Signal()
#: ``of``: broker or ledger; ``until``: tells when its certificates end, in seconds since the epoch.
certificates_named = blinker.Signal()
#: ``until``: seconds since the epoch. The canary has seen the door's certificate.
door_seen = blinker.Signal()
#: ``late``: schedule → seconds for each slot that became an event; ``skipped``: (schedule, reason) → number.
slots_settled = blinker.Signal()
#: ``last``: schedule → seconds since the epoch; ``expected``: likewise, since when it should have succeeded.
schedules_succeeded = blinker.Signal()
#: ``stale``: of the schedules that were made at run time, how many have not succeeded since they should have.
schedules_stale = blinker.Signal()
#: ``reason``: a message on the dead queue was read; ``ours``: bool.
message_returned = blinker.Signal()
#: ``method``, ``route``, ``code``, ``seconds``; ``traceparent``: the header, None without one.
request_finished = blinker.Signal()
#: Traces: ``method``, ``traceparent``. A request came; the answer of a listener, if any, is the context from here on.
request_begun = blinker.Signal()
#: Traces: ``type``, ``traceparent``. An event was read from a request; the answer is the context that it carries.
event_created = blinker.Signal()
#: Traces: ``events``, ``queue``. A handler is called; the answer is the context of the run.
run_begun = blinker.Signal()
#: Traces: ``answer``, ``error``. It has returned, or raised.
run_ended = blinker.Signal()


def asked(signal: blinker.Signal, otherwise: str | None, **given: Any) -> str | None:
    """Send a signal that a listener may answer with a trace context; ``otherwise`` if nobody does."""
    if signal.receivers:
        for _, answer in signal.send(None, **given):
            if answer is not None:
                return str(answer)
    return otherwise
