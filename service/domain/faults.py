"""What kinds of faults PostgreSQL has. Metrics count them by these words."""

from __future__ import annotations

import enum


class Fault(enum.StrEnum):
    """Why a statement failed, or a connection could not be had."""

    CONNECTION = "connection"  #: refused, reset, ended by the server
    TOO_MANY_CONNECTIONS = "too_many_connections"  #: the server has no room for one more
    POOL = "pool"  #: the process's own connections were all taken, for longer than anybody waits
    DISK_FULL = "disk_full"
    READ_ONLY = "read_only"  #: a standby, or a server that was told to take no writes
    RESOURCES = "resources"  #: memory, files, the system below
    DEADLOCK = "deadlock"
    CONFLICT = "conflict"  #: of transactions that cannot be put in an order
    LOCK = "lock"  #: somebody else has it, and the statement would not wait for longer
    TIMEOUT = "timeout"  #: the statement took longer than it may
    INTEGRITY = "integrity"  #: a constraint
    DATA = "data"  #: a value that a column cannot hold
    OTHER = "other"


#: SQLSTATE, or what it begins with → the fault; the longest one that fits says it. Source: PostgreSQL, appendix A.
SQLSTATES = {
    "08": Fault.CONNECTION,
    "57P": Fault.CONNECTION,
    "25P03": Fault.CONNECTION,
    "53300": Fault.TOO_MANY_CONNECTIONS,
    "53100": Fault.DISK_FULL,
    "53000": Fault.RESOURCES,
    "53200": Fault.RESOURCES,
    "58": Fault.RESOURCES,
    "25006": Fault.READ_ONLY,
    "40P01": Fault.DEADLOCK,
    "40": Fault.CONFLICT,
    "55P03": Fault.LOCK,
    "57014": Fault.TIMEOUT,
    "22": Fault.DATA,
    "23": Fault.INTEGRITY,
}


def of(sqlstate: str) -> Fault:
    """The fault of a SQLSTATE."""
    fits = [start for start in SQLSTATES if sqlstate.startswith(start)]
    return SQLSTATES[max(fits, key=len)] if fits else Fault.OTHER
