"""The shortest schedule there is."""

from schedules import every

every("1s", "ticking.second")
