"""The spool: events on the producer's own disk until Millrace has them.

A spool is a folder with a database of SQLite's, whose commits are synced to the disk: what ``put`` has returned for
survives a crash of the program and of the machine. Any number of processes may put; one at a time sends, which a lock
on a file decides. Every event has an idempotency key from the start, so that sending twice stores once.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import pathlib
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple, Unpack

from service.client import calls, errors, lines, locks
from service.client.blocking import Client
from service.client.documents import Item, Json, NewEvent

log = logging.getLogger("millrace.client")

FILE = "events.sqlite3"
LOCK = "sending.lock"
OURS = "/problems/"  #: how the type of a problem begins that Millrace itself has told
BUSY = 30.0  #: seconds that a process waits for another one's commit
OVERHEAD = 64  #: bytes that are counted for an event beside its line
LOOK_EVERY = 1.0  #: seconds between looks for what other processes have put
BACKOFF = (0.5, 30.0)  #: seconds between tries to send, while Millrace is away

TABLES = """
create table if not exists events (number integer primary key autoincrement, line blob not null);
create table if not exists refused (number integer primary key, line blob not null, problem text not null);
create table if not exists room (one integer primary key check (one = 1), bytes integer not null);
insert or ignore into room values (1, 0);
"""
TAKE = "update room set bytes = bytes + ? where bytes + ? <= ?"


class Drained(NamedTuple):
    """What came of a drain."""

    sent: int  #: events that Millrace has stored
    refused: int  #: those that it will not take; ``Spool.refused`` shows them
    left: int  #: events that still wait


class Spool:
    """Events on disk. One object serves all threads of a process, and a forked child too."""

    def __init__(self, path: str | os.PathLike[str], *, limit: int = 256 * 1024 * 1024) -> None:
        """``path``: a folder on a local disk, made if missing. ``limit``: bytes of events that are kept at most."""
        self._folder = pathlib.Path(path)
        with self._told():
            # Payloads are nobody else's business. Who has several users put makes the folder for them.
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limit = limit
        self._sender = locks.FileLock(self._folder / LOCK)
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._inherited: list[sqlite3.Connection | None] = []
        self._news = threading.Event()
        _SPOOLS.add(self)

    def put(self, type: str, payload: Json = None, **more: Unpack[lines.More]) -> str:
        """Keep an event; it is safe on this disk when this returns its key. ``more`` as for ``Client.submit``.

        A ``delay`` counts from now on. Raises SpoolFull, SpoolBroken when the disk refuses, ValueError or TypeError
        for what is no JSON.
        """
        key = more.get("key") or calls.new_key()
        if (delay := more.pop("delay", None)) is not None:
            more["run_at"] = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=delay)
        line = NewEvent(type, payload, **more | {"key": key}).line()
        size = len(line) + OVERHEAD
        with self._commit() as database:
            if database.execute(TAKE, (size, size, self._limit)).rowcount == 0:
                raise errors.SpoolFull(f"{self._folder} holds {self._limit} bytes of events already")
            database.execute("insert into events (line) values (?)", (line,))
        self._news.set()
        return key

    def __len__(self) -> int:
        """How many events wait."""
        return int(self._read("select count(*) from events")[0][0])

    def refused(self) -> list[tuple[NewEvent, dict[str, Any]]]:
        """The events that Millrace will not take, each with its problem document."""
        rows = self._read("select line, problem from refused order by number")
        return [(_event(line), json.loads(problem)) for line, problem in rows]

    def retry_refused(self) -> int:
        """Put those back, behind all others, once what was wrong has been mended; how many."""
        with self._commit() as database:
            database.execute("insert into events (line) select line from refused order by number")
            number = database.execute("delete from refused").rowcount
        self._news.set()
        return number

    def forget_refused(self) -> None:
        """Delete those."""
        with self._commit() as database:
            [size] = database.execute(f"select coalesce(sum(length(line) + {OVERHEAD}), 0) from refused").fetchone()
            database.execute("delete from refused")
            database.execute("update room set bytes = bytes - ?", (size,))

    def drain(self, client: Client) -> Drained:
        """Send what waits, in the order in which it was put, until nothing is left.

        Raises what stands in the way, such as Unavailable, Unreachable or NotAllowed; what is left is kept. While
        another process or thread sends, nothing is done here.
        """
        sent = refused = 0
        with self._alone() as alone:
            while alone and (rows := self._first()):
                items = client.batch([_event(line) for _, line in rows])
                done, no = self._settle(rows, items)
                sent, refused = sent + done, refused + no
                if (error := next((i.problem for i in items if i.id is None and not _is_final(i)), None)) is not None:
                    raise error
        return Drained(sent, refused, len(self))

    @contextlib.contextmanager
    def sending(self, client: Client) -> Iterator[None]:
        """Send in a thread of its own, for as long as the ``with`` block; it ends with what can be sent at once."""
        stop = threading.Event()
        thread = threading.Thread(target=self._send, args=(client, stop), name="millrace-spool", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self._news.set()
            thread.join()

    def close(self) -> None:
        """Close the database; nothing is lost by it, nor without it."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None

    def after_fork(self) -> None:
        """To be called in a forked child, which Python does."""
        self._lock, self._news = threading.Lock(), threading.Event()
        # The parent's connection is neither used nor closed: both would break the parent's locks.
        self._inherited.append(self._database)
        self._database = None
        self._sender.after_fork()

    def _send(self, client: Client, stop: threading.Event) -> None:
        wait, longest = BACKOFF
        while True:
            ending = stop.is_set()
            self._news.clear()
            try:
                drained = self.drain(client)
            except Exception as error:  # Whatever it is: were this thread to end, events would wait unseen.
                why = None if isinstance(error, errors.ClientError) else error
                told = "The events in %s wait: %s"
                log.warning(told, self._folder, error, exc_info=why, extra={"action": "spool.waiting"})
                if stop.wait(wait):
                    return
                wait = min(longest, wait * 2)
                continue
            if drained.refused:
                told = "Millrace will not take %d events of the spool %s: Spool.refused() shows them"
                log.error(told, drained.refused, self._folder, extra={"action": "spool.refused"})
            if ending:
                return
            wait = BACKOFF[0]
            self._news.wait(LOOK_EVERY)

    def _first(self) -> list[tuple[int, bytes]]:
        """The oldest events, as many as go into one request."""
        most, room = calls.PART
        found: list[tuple[int, bytes]] = []
        for number, line in self._read("select number, line from events order by number limit ?", most):
            room -= len(line) + 1
            if room < 0 and found:
                break
            found.append((number, line))
        return found

    def _settle(self, rows: list[tuple[int, bytes]], items: list[Item]) -> tuple[int, int]:
        """Let go of what is stored; put aside what will never be."""
        stored = [row for row, item in zip(rows, items, strict=True) if item.id is not None]
        final = [
            (
                number,
                line,
                json.dumps({"status": item.problem.status, "detail": str(item.problem), **item.problem.document}),
            )
            for (number, line), item in zip(rows, items, strict=True)
            if isinstance(item.problem, errors.Problem) and _is_final(item)
        ]
        with self._commit() as database:
            numbers = [(number,) for number, *_ in [*stored, *final]]
            database.executemany("delete from events where number = ?", numbers)
            database.executemany("insert or ignore into refused values (?, ?, ?)", final)
            size = sum(len(line) + OVERHEAD for _, line in stored)
            database.execute("update room set bytes = bytes - ?", (size,))
        return len(stored), len(final)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether nobody else sends from this spool; nobody will while the block lasts."""
        with contextlib.ExitStack() as stack:
            with self._told():
                alone = stack.enter_context(self._sender.tried())
            yield alone

    def _read(self, statement: str, *values: Any) -> list[Any]:
        with self._lock, self._told():
            return self._open().execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise errors.SpoolBroken(f"{self._folder}: {error}") from error

    @contextlib.contextmanager
    def _commit(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told():
            database = self._open()
            # The lock to write is taken at once: one that is asked for in mid-transaction may be refused.
            database.execute("begin immediate")
            try:
                yield database
                database.execute("commit")
            except BaseException:
                if database.in_transaction:
                    database.execute("rollback")
                raise

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            path = self._folder / FILE
            is_new = not path.exists()
            database = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = full")
            database.executescript(TABLES)
            if is_new:
                _sync(self._folder)
                _sync(self._folder.parent)
            self._database = database
        return self._database


#: What a fork must not take along.
_SPOOLS: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork() -> None:
    for spool in _SPOOLS:
        spool.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _event(line: bytes) -> NewEvent:
    members = json.loads(line)
    for name in ("run_at", "expires_at"):
        if name in members:
            members[name] = datetime.datetime.fromisoformat(members[name])
    return NewEvent(**members)


def _document(problem: errors.Problem) -> dict[str, Any]:
    """What was told, and the least of it where a proxy has told nothing that can be read."""
    return {"status": problem.status, "detail": str(problem), **problem.document}


def _is_final(item: Item) -> bool:
    """Whether sending it again is of no use. A proxy that says 404 has not looked at the event."""
    problem = item.problem
    if not isinstance(problem, errors.Problem):
        return False
    if problem.status == calls.TOO_LARGE:
        return True  # It came alone, and is too large for this way, whoever says so.
    if isinstance(problem, errors.NotAllowed):
        return item.judged  # Else it is the key that is refused, and not the event.
    return isinstance(problem, errors.Invalid | errors.NotFound | errors.Conflict) and problem.type.startswith(OURS)


def _sync(folder: pathlib.Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
