"""Its schedule."""

from __future__ import annotations

from schedules import every

every(1, "prints.made", {"number": 7})
