"""Named places where a test may let the process die, as by ``kill -9``, or freeze, as by ``kill -STOP``.

Armed by ``MILLRACE_CRASH_AT=<name>@<file>``, or ``<name>:freeze@<file>``: the process that first manages to remove the
file kills or stops itself, so that it happens once however many processes carry the setting.
"""

from __future__ import annotations

import os
import pathlib
import signal

#: Every point, in the order of the road.
POINTS = (
    "after_event_commit",
    "after_publish",
    "after_confirm",
    "after_ticket_update",
    "after_claim",
    "in_handler",
    "after_commit_before_ack",
    "before_crash_count",
    "after_crash_count",
    "clock_before_slots",
    "clock_after_slots",
    "clock_before_publish",
)

#: How it ends there.
ENDS = {"": signal.SIGKILL, "freeze": signal.SIGSTOP}

_armed: list[tuple[str, str, signal.Signals]] = []


def arm(setting: str) -> None:
    """Arm the point that the setting names; nothing for an empty one."""
    place, _, path = setting.partition("@")
    name, _, end = place.partition(":")
    if setting and (name not in POINTS or end not in ENDS or not path):
        raise ValueError(
            f"MILLRACE_CRASH_AT: <point>@<file> or <point>:freeze@<file> is wanted, with a point of {', '.join(POINTS)}"
        )
    _armed[:] = [(name, path, ENDS[end])] if setting else []


def reach(name: str) -> None:
    """Die or freeze here if this point is armed."""
    if not _armed or _armed[0][0] != name:
        return
    _, path, end = _armed[0]
    try:
        pathlib.Path(path).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), end)
