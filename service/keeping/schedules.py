"""The built-in schedules. They may be paused; docs/retention.md says what the clocks do then."""

from __future__ import annotations

from schedules import cron
from service.domain import keeping

# Days end at midnight in UTC. The first two are done by the clocks anyway, of their own accord and more often.
cron("10 0 * * *", keeping.PARTITIONS, overlap="skip")
cron("20 0 * * *", keeping.TALLIES, overlap="skip")
cron("40 0 * * *", keeping.RETENTION, overlap="skip")
