"""What comes round by itself. Each planned instant becomes an event of the named type."""

from __future__ import annotations

from schedules import every

every("1m", "numbers.sum")
every("1m", "numbers.mul")
every("5m", "numbers.heartbeat")
