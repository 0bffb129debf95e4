"""The processes of an installation, as they note themselves in the ledger."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Iterable
from typing import Any

NOTED_EVERY = 10.0  #: seconds between two notes of a process
LIVE = 30.0  #: seconds since its last note for which a process counts as alive


class Kind(enum.StrEnum):
    """What a process is for."""

    WEB = "web"
    WORKER = "worker"
    CLOCK = "clock"


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """What does not change in a process's life."""

    kind: Kind
    host: str
    pid: int
    version: str  #: of Millrace, and what else is deployed: ``0.1.0+3f2a91c``
    types: tuple[str, ...]  #: that it has handlers for, sorted
    queues: tuple[str, ...] = ()  #: that a worker takes from
    slots: int | None = None  #: tickets that a worker works at once; None: it is no worker

    @property
    def digest(self) -> str:
        """Of the types: equal in processes with handlers for the same ones."""
        return digest(self.types)


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """What a process says of itself at one moment."""

    age: float  #: seconds since the process began
    broker: bool | None = None  #: whether its broker is there; None: it does not know
    holding: tuple[Held, ...] = ()  #: what a worker is at


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A ticket that is being worked."""

    pid: int  #: of the child that has it
    type: str
    ticket: str  #: as it was delivered; a detached handler's run has another in the ledger
    events: int  #: on the ticket
    seconds: float  #: since it was begun

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        return dataclasses.asdict(self)


def digest(types: Iterable[str]) -> str:
    """Twelve characters that are equal for equal types."""
    return hashlib.sha256("\n".join(sorted(types)).encode()).hexdigest()[:12]
