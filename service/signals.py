"""What happens, by name. The business code sends; metrics and logs listen (``service.telemetry``).

Sent once per flush, bundle or batch, never once per event, so that listening costs little.
"""

from __future__ import annotations

import blinker

#: ``counts: dict[type, n]``, ``outcome``: accepted, duplicate, conflict, invalid, unavailable.
events_accepted = blinker.Signal()
#: ``batch`` of tickets, the ids that were ``confirmed``, whether the broker was ``reached``; ``seconds``.
tickets_published = blinker.Signal()
#: ``report``: an application.execute.Report as a dictionary. Sent in the worker's parent.
ticket_finished = blinker.Signal()
#: ``type``, ``count``. Sent in the worker's parent when a child takes a ticket.
ticket_started = blinker.Signal()
#: ``type``, ``outcome``: worker_lost, time_limit, rejected, error. A ticket that came back without a report.
ticket_failed = blinker.Signal()
#: ``peer``: broker or ledger; ``up``: bool.
connection_changed = blinker.Signal()
#: ``due``, ``out``, ``overdue``: numbers of tickets, as the clock saw them last.
tickets_counted = blinker.Signal()
#: ``late``: schedule → seconds for each slot that became an event; ``skipped``: (schedule, reason) → number.
slots_settled = blinker.Signal()
#: ``last``: schedule → seconds since the epoch.
schedules_succeeded = blinker.Signal()
#: ``reason``: a message on the dead queue was read; ``ours``: bool.
message_returned = blinker.Signal()
#: ``method``, ``route``, ``code``, ``seconds``.
request_finished = blinker.Signal()
