"""The policies of daylight saving, as they are written."""

from typing import Literal

#: A local time that is missing: it runs at the first instant after the gap, or not.
Missing = Literal["shift", "skip"]
#: A local time that comes twice: it runs the first time, both times, or the last time.
Doubled = Literal["first", "both", "last"]
