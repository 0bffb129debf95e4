"""What a worker's processes know of each other: who is at which ticket, and which of them notes the worker.

The parent never asks the ledger, so a child notes it: the one that has the lock, which the kernel frees when that child
ends, however it ends. What the children are at stands in memory that they share; it costs a ticket two writes there.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import mmap
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from billiard import process

import service
from service import signals
from service.domain import processes
from service.domain import ticket as tickets
from workers import retiring

#: Since when (0: it is free), by whom, how many events, the ticket, its type. The first is written last.
SLOT = struct.Struct("d i i 36s 104s")
SINCE = struct.Struct("d")
SLOTS = 512  #: children, or threads, whose tickets are told; those of more are not
BROKER = {None: 0, False: 1, True: 2}


class Presence:
    """A worker, as it is noted. Made before the children are forked."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._page = mmap.mmap(-1, 1 + SLOTS * SLOT.size)  # Anonymous and shared.
        self._lock = os.memfd_create("millrace-notes")
        self._threads = itertools.count()
        self._local = threading.local()
        self.queues: tuple[str, ...] = ()  #: that it takes from; set before the children are forked, like `slots`
        self.slots: int | None = None
        self.forks = True  #: whether its pool has children
        self._faults: Counter[str] = Counter()  # Of the ledger, that a child has met.

    def broker(self, _sender: Any, peer: str, up: bool) -> None:
        """Whether the broker is there; told in the parent (``signals.connection_changed``)."""
        if peer == "broker":
            self._page[0] = BROKER[up]

    def begin_child(self) -> None:
        """To be called in a forked child: what the child before it was at is not held any more."""
        if (place := self._place()) is not None:
            SINCE.pack_into(self._page, place, 0.0)
        signals.ledger_failed.connect(self._note_fault)

    def take_faults(self) -> dict[str, int]:
        """The faults of the ledger that a child has met since it was asked last: its parent counts them."""
        # Detached from what goes on: a thread of the child may meet one at any moment.
        found, self._faults = self._faults, Counter()
        return dict(found)

    def _note_fault(self, _sender: Any, fault: str) -> None:
        self._faults[str(fault)] += 1

    @contextlib.contextmanager
    def holds(self, delivery: tickets.Delivery) -> Iterator[None]:
        """This thread is at a ticket."""
        place = self._place()
        if place is None:
            yield
            return
        held = (delivery.ticket.encode(), delivery.type.encode())
        SLOT.pack_into(self._page, place, 0.0, os.getpid(), len(delivery.event_ids), *held)
        SINCE.pack_into(self._page, place, time.monotonic())
        try:
            yield
        finally:
            SINCE.pack_into(self._page, place, 0.0)

    def is_ours(self) -> bool:
        """Whether this process notes the worker: the parent where nothing is forked, else the child with the lock."""
        if not retiring.is_child():
            return True
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def process(self, types: Iterable[str], version: str = service.__version__) -> processes.Process:
        """The worker."""
        pid = os.getppid() if retiring.is_child() else os.getpid()
        return processes.Process(
            processes.Kind.WORKER, socket.gethostname(), pid, version, tuple(sorted(types)), self.queues, self.slots,
        )  # fmt: skip

    def note(self) -> processes.Note:
        """What it is at, at this moment."""
        broker = next(up for up, byte in BROKER.items() if byte == self._page[0])
        return processes.Note(time.monotonic() - self._begun, broker, tuple(self._held()))

    def _held(self) -> Iterator[processes.Held]:
        now = time.monotonic()
        for place in range(1, len(self._page), SLOT.size):
            since, pid, events, ticket, type_name = SLOT.unpack_from(self._page, place)
            # Whoever has changed it meanwhile has changed its time too.
            if since and SINCE.unpack_from(self._page, place)[0] == since:
                name = type_name.rstrip(b"\0").decode()
                yield processes.Held(pid, name, ticket.decode(), events, round(now - since, 3))

    def _place(self) -> int | None:
        """Of this child's slot, or this thread's where nothing is forked."""
        if retiring.is_child():
            number = getattr(process.current_process(), "index", SLOTS)
        else:
            if not hasattr(self._local, "number"):
                self._local.number = next(self._threads)
            number = self._local.number
        return 1 + number * SLOT.size if number < SLOTS else None
