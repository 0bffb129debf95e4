"""Trees of a tz database with rules of our own, as an update of it would bring them (RFC 8536, version 2)."""

from __future__ import annotations

import datetime
import pathlib
import struct
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager

from service.ledger import courses
from service.plans import zones

ZONE = "Test/Moved"


def a_tree(folder: pathlib.Path, hours: float, *changes: tuple[datetime.datetime, float], zone: str = ZONE) -> str:
    """A tree with one zone: its offset from UTC in hours, and the instants from which on it is another one."""
    offsets = [hours, *(after for _, after in changes)]
    head = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, len(changes), len(offsets), 4)
    times = struct.pack(f">{len(changes)}q", *(int(moment.timestamp()) for moment, _ in changes))
    types = b"".join(struct.pack(">lBB", int(offset * 3600), 0, 0) for offset in offsets)
    old = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 0, 0)  # Nobody reads the part of version 1.
    last = datetime.timedelta(hours=-offsets[-1])
    sign, seconds = ("-" if last < datetime.timedelta() else "", abs(int(last.total_seconds())))
    footer = f"\n<TST>{sign}{seconds // 3600}:{seconds // 60 % 60:02}\n".encode()
    path = folder / zone
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(old + head + times + bytes(range(1, len(offsets))) + types + b"TST\0" + footer)
    return str(folder)


@contextmanager
def rules(tree: str) -> Iterator[None]:
    """This process has read its zones in this tree, as if it had just been started there."""
    before = zoneinfo.TZPATH
    try:
        zoneinfo.reset_tzpath(to=[tree, *before])
        _forget()
        yield
    finally:
        zoneinfo.reset_tzpath(to=before)
        _forget()


def _forget() -> None:
    zoneinfo.ZoneInfo.clear_cache()
    zones._read.cache_clear()
    courses.read_plan.cache_clear()
