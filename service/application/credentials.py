"""API keys: made, changed, revoked, and told from what is none.

A process knows all live keys at a time: who comes with a made-up one costs no query, however many they are. What it
knows is at most ``OLDEST`` seconds old, so a key that was revoked is dead everywhere within that time.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from service.application.turn import Turn
from service.domain import access, credentials, errors

log = logging.getLogger("millrace.access")

OLDEST = 10.0  #: seconds: nothing older is believed
RENEWED = 5.0  #: seconds after which the first who comes asks anew, while the others go on
NEW = 1.0  #: seconds after which a key that nobody knows is worth a question
USED = 60.0  #: seconds between notes that a key is used
LONGEST = 100 * 366 * 86_400.0  #: seconds: a hundred years


class Live(Protocol):
    """A key that opens something."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def hash(self) -> str: ...
    @property
    def left(self) -> float | None: ...
    @property
    def unused(self) -> float | None: ...


class KeyLedger(Protocol):
    """The keys of the ledger."""

    def live(self) -> Sequence[Live]: ...
    def used(self, id: str) -> None: ...
    def create(
        self, id: str, hash: str, *, name: str, role: str, types: Sequence[str], lasts: float | None, by: str | None
    ) -> dict[str, Any]: ...
    def rotate(self, old: str, id: str, hash: str, *, overlap: float, by: str | None) -> dict[str, Any]: ...
    def revoke(self, id: str, *, by: str | None) -> dict[str, Any]: ...


class Keys:
    """What admins do with keys. Each act is an entry in the audit log, in its own commit."""

    def __init__(self, ledger: KeyLedger, peppers: Sequence[str]) -> None:
        self._ledger = ledger
        self._peppers = peppers

    def create(
        self, *, name: str, role: str, types: Sequence[str] = (), lasts: float | None = None, by: str | None
    ) -> dict[str, Any]:
        """A new key; its text is in ``key``, and nowhere else again. ``lasts``: seconds.

        Raises InvalidAccess, TwoKeysLive, NoKeysHere.
        """
        faults = []
        for check in (lambda: access.check_name(name), lambda: access.check_types(tuple(types))):
            try:
                check()
            except errors.InvalidAccess as error:
                faults += error.faults
        if role not in tuple(access.Role):
            faults.append(errors.Fault("/role", f"one of {', '.join(access.Role)} is wanted"))
        if lasts is not None and not 0 < lasts <= LONGEST:
            faults.append(errors.Fault("/lasts", "a number of seconds above 0 is wanted"))
        if types and role in tuple(access.Role) and not _submits(access.Role(role)):
            faults.append(errors.Fault("/types", f"a {role} posts nothing: leave the types away"))
        if faults:
            raise errors.InvalidAccess(faults)
        new = credentials.make()
        row = self._ledger.create(new.id, self._hash(new), name=name, role=role, types=types, lasts=lasts, by=by)
        return row | {"key": new.text}

    def rotate(self, id: str, *, overlap: float, by: str | None) -> dict[str, Any]:
        """A new key in the place of a live one, which is good for ``overlap`` seconds more.

        Raises KeyNotFound, TwoKeysLive, InvalidAccess, NoKeysHere.
        """
        if not 0 <= overlap <= LONGEST:
            raise errors.InvalidAccess([errors.Fault("/overlap", "a number of seconds is wanted, 0 or more")])
        new = credentials.make()
        return self._ledger.rotate(id, new.id, self._hash(new), overlap=overlap, by=by) | {"key": new.text}

    def revoke(self, id: str, *, by: str | None) -> dict[str, Any]:
        """End a key at once, and everywhere within ten seconds. Raises KeyNotFound."""
        return self._ledger.revoke(id, by=by)

    def _hash(self, new: credentials.NewKey) -> str:
        if not self._peppers:
            raise errors.NoKeysHere()
        return credentials.keyed_hash(new.text, self._peppers[0])


class Entry:
    """A live key as a process knows it."""

    __slots__ = ("noted", "principal", "until")

    def __init__(self, live: Live, now: float) -> None:
        role = access.Role(live.role)
        self.principal = access.Principal(live.name, role, access.Kind.KEY, live.types, live.id)
        self.until = float("inf") if live.left is None else now + live.left  #: by the monotonic clock
        self.noted = float("-inf") if live.unused is None else now - live.unused  #: when it was written to be used


class Keyring:
    """All live keys, as one process knows them. Used by many threads."""

    def __init__(self, ledger: KeyLedger, peppers: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._peppers = peppers
        self._now = now
        self._turn = Turn()
        self._entries: dict[str, Entry] = {}  # By the keyed hash of the key.
        self._quick: dict[bytes, Entry] = {}  # Those of them that were shown, by another hash.
        self._hasher = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._asked = self._renew_at = float("-inf")  # When the ledger was asked; when it is worth it again.

    def glance(self, text: str) -> access.Principal | None:
        """Whose key it is, without asking anybody: None means that ``look`` must be asked."""
        now = self._now()
        if now > self._renew_at:
            if now - self._asked <= OLDEST:
                self._renew_at = self._asked + OLDEST  # This one asks, and those behind it go on.
            return None
        entry = self._find(text)
        if entry is None or now >= entry.until or now - entry.noted > USED:
            return None
        return entry.principal

    def look(self, text: str) -> access.Principal:
        """Whose key it is. Raises BadCredential, LedgerUnavailable."""
        if credentials.id_of(text) is None:
            raise errors.BadCredential("this is no API key: it is cut off, or made up")
        self._ask(RENEWED)
        entry = self._find(text)
        if entry is None:
            self._ask(NEW)  # It may have been made just now.
            entry = self._find(text)
        now = self._now()
        if entry is None or now >= entry.until:
            raise errors.BadCredential("this API key is not known, has expired, or was revoked")
        if now - entry.noted > USED:
            entry.noted = now
            self._note(entry.principal.id)
        return entry.principal

    def forget(self) -> None:
        """Ask the ledger anew, whoever comes next: a key was made or revoked in this process."""
        self._asked = self._renew_at = float("-inf")

    def _find(self, text: str) -> Entry | None:
        # The hash of the ledger costs four times as much as this one, which is good in this process only.
        hasher = self._hasher.copy()
        hasher.update(text.encode(errors="replace"))
        mark, quick = hasher.digest(), self._quick
        if (known := quick.get(mark)) is not None:
            return known
        for hash in credentials.hashes(text, self._peppers):
            if (entry := self._entries.get(hash)) is not None:
                quick[mark] = entry
                return entry
        return None

    def _ask(self, age: float) -> None:
        """Ask the ledger, if what is known is older than ``age`` seconds. Of many at once, one asks."""
        if self._now() - self._asked <= age:
            return
        with self._turn:
            if (now := self._now()) - self._asked <= age:
                return
            # What is read is at least as young as the question.
            found = {live.hash: Entry(live, now) for live in self._ledger.live()}
            for hash, entry in found.items():
                if (known := self._entries.get(hash)) is not None:
                    entry.noted = max(entry.noted, known.noted)
            self._entries, self._quick = found, {}
            self._asked, self._renew_at = now, now + RENEWED

    def _note(self, id: str) -> None:
        try:
            self._ledger.used(id)
        except errors.MillraceError as error:
            # When it was used last is good to know, and no reason to refuse anything.
            log.warning("That a key was used could not be noted: %s", error, extra={"action": "access.not_noted"})


def _submits(role: access.Role) -> bool:
    return access.Permission.SUBMIT in access.GRANTED[role]
