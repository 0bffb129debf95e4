"""Ids that sort by time: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import datetime
import random
import uuid


def uuid7(seconds: float) -> str:
    """A UUID of version 7 for an instant (seconds since the epoch, by the ledger's clock).

    The 12 bits after the version hold the fraction of a millisecond (RFC 9562, section 6.2, method 3), the other
    62 are random. They make ids unique, not secret, so no system call is spent on them.
    """
    micros = int(seconds * 1_000_000)
    millis, rest = divmod(micros, 1000)
    value = (millis & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7000 << 64 | (rest * 4096 // 1000) << 64
    value |= 0b10 << 62 | random.getrandbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def instant(event_id: str) -> datetime.datetime:
    """The instant in a UUID of version 7."""
    millis = int(event_id[:8] + event_id[9:13], 16)
    return datetime.datetime.fromtimestamp(millis / 1000, datetime.UTC)


def floor(moment: datetime.datetime) -> str:
    """The smallest UUID of version 7 that an instant can have: the bound of a partition or of a time filter."""
    return str(uuid.UUID(int=(int(moment.timestamp() * 1000) & 0xFFFF_FFFF_FFFF) << 80))
