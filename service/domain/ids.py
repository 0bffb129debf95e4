"""Ids that sort by time: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import datetime
import functools
import random
import uuid


def uuid7(seconds: float) -> str:
    """A UUID of version 7 for an instant (seconds since the epoch, by the ledger's clock).

    The 12 bits after the version hold the fraction of a millisecond (RFC 9562, section 6.2, method 3), the other
    62 are random. They make ids unique, not secret, so no system call is spent on them.
    """
    rest = f"{0b10 << 62 | random.getrandbits(62):016x}"
    return f"{_of_instant(int(seconds * 1_000_000))}-{rest[:4]}-{rest[4:]}"


@functools.lru_cache(maxsize=8)
def _of_instant(micros: int) -> str:
    """The first half of a UUID, which all those have that are made at one instant: a flush makes hundreds."""
    millis, rest = divmod(micros, 1000)
    text = f"{millis & 0xFFFF_FFFF_FFFF:012x}"
    return f"{text[:8]}-{text[8:]}-{0x7000 | rest * 4096 // 1000:04x}"


def instant(event_id: str) -> datetime.datetime:
    """The instant in a UUID of version 7."""
    millis = int(event_id[:8] + event_id[9:13], 16)
    return datetime.datetime.fromtimestamp(millis / 1000, datetime.UTC)


def floor(moment: datetime.datetime) -> str:
    """The smallest UUID of version 7 that an instant can have: the bound of a partition or of a time filter."""
    return str(uuid.UUID(int=(int(moment.timestamp() * 1000) & 0xFFFF_FFFF_FFFF) << 80))
