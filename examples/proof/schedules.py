"""A schedule for sceptics."""

from __future__ import annotations

from schedules import every

every("1s", "proof.tick")
