"""Local users of the console: passwords are kept as argon2id, and guessing them is slow.

Source: OWASP Password Storage Cheat Sheet (19 MiB, two passes); NIST SP 800-63B for what a password may be.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

from service.application.buckets import Buckets
from service.domain import access, errors

MOST_SESSIONS = 500  #: in a list
LEAST, MOST = 12, 256  #: characters of a password
TRIES = 5.0  #: at once, of one address for one user, and of one address for all
EVERY = 60.0  #: seconds for one more
#: At once, of all addresses for one user (NIST SP 800-63B, section 5.2.2): strangers who use them up lock the user out,
#: but not where the user has signed in before.
TRIES_OF_ALL = 100.0
MOST_KNOWN = 10_000  #: pairs of user and address that are remembered, by each process
AT_ONCE = 2  #: passwords that are checked at once: each takes 19 MiB and most of a core's twentieth of a second


class Found(Protocol):
    """A user."""

    @property
    def password(self) -> str: ...
    @property
    def role(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True)
class SignedIn:
    """Who has shown the password."""

    role: access.Role
    verified: str = dataclasses.field(repr=False)  #: the hash that it matched: a session begins while the user has it


class UserLedger(Protocol):
    """The users of the ledger."""

    def list(self) -> list[dict[str, Any]]: ...
    def any(self) -> bool: ...
    def find(self, name: str) -> Found | None: ...
    def add(self, name: str, role: str, password: str, *, by: str | None) -> None: ...
    def set_password(self, name: str, password: str, *, by: str | None) -> None: ...
    def rehash(self, name: str, verified: str, password: str) -> bool: ...
    def set_role(self, name: str, role: str, *, by: str | None) -> None: ...
    def disable(self, name: str, *, by: str | None) -> None: ...
    def enable(self, name: str, *, by: str | None) -> None: ...
    def remove(self, name: str, *, by: str | None) -> None: ...
    def sessions(self, idle: float, *, limit: int) -> tuple[Sequence[dict[str, Any]], int]: ...
    def end_of(self, name: str, *, by: str | None) -> int: ...


class Users:
    """What admins do with users, and who somebody is by name and password."""

    def __init__(self, ledger: UserLedger) -> None:
        self._ledger = ledger
        self._tries = Buckets(1 / EVERY, TRIES, name="sign-in")
        self._tries_of_all = Buckets(1 / EVERY, TRIES_OF_ALL, name="sign-in")
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # Who has signed in from where.
        self._turn = threading.Semaphore(AT_ONCE)

    def list(self) -> list[dict[str, Any]]:
        """All of them: name, role, disabled, created_at, created_by, changed_at, seen_at."""
        return self._ledger.list()

    def any(self) -> bool:
        """Whether there is one."""
        return self._ledger.any()

    def add(self, name: str, role: str, password: str, *, by: str | None) -> None:
        """A new user. Raises InvalidAccess, UserExists."""
        access.check_name(name)
        _check_role(role)
        self._ledger.add(name, role, _hash(name, password), by=by)

    def set_password(self, name: str, password: str, *, by: str | None) -> None:
        """Another password; the user's sessions end. Raises InvalidAccess, UserNotFound."""
        self._ledger.set_password(name, _hash(name, password), by=by)

    def set_role(self, name: str, role: str, *, by: str | None) -> None:
        """Another role, at once. Raises InvalidAccess, UserNotFound."""
        _check_role(role)
        self._ledger.set_role(name, role, by=by)

    def disable(self, name: str, *, by: str | None) -> None:
        """Let a user sign in no more; the sessions end. Raises UserNotFound."""
        self._ledger.disable(name, by=by)

    def enable(self, name: str, *, by: str | None) -> None:
        """Let a user who was disabled sign in again. Raises UserNotFound."""
        self._ledger.enable(name, by=by)

    def remove(self, name: str, *, by: str | None) -> None:
        """Take a user away; the sessions end. Raises UserNotFound."""
        self._ledger.remove(name, by=by)

    def sessions(self, idle: float) -> tuple[Sequence[dict[str, Any]], int]:
        """The sessions that go on, the ones seen last first: name, local, role, created_at, seen_at, ends_at.

        At most ``MOST_SESSIONS`` of them, and how many there are. ``idle``: seconds of rest after which one has ended.
        """
        return self._ledger.sessions(idle, limit=MOST_SESSIONS)

    def end_sessions(self, name: str, *, by: str | None) -> int:
        """End all sessions of a name, at once and everywhere, those from the issuer too; how many there were."""
        return self._ledger.end_of(name, by=by)

    def sign_in(self, name: str, password: str, address: str) -> SignedIn:
        """A user who has shown the password.

        Raises BadCredential, in the same words and time whether the user or the password is wrong; TooManyRequests.
        """
        user = name[:100]
        counted = [(self._tries, f"user:{user} {address}"), (self._tries, f"address:{address}")]
        if (user, address) not in self._known:
            counted.append((self._tries_of_all, user))
        for buckets, who in counted:
            if not buckets.take(who):
                raise errors.TooManyRequests("too many sign-ins failed", retry_after=buckets.wait(who))
        found = self._ledger.find(name) if access.NAME.fullmatch(name) else None
        with self._turn:
            good = _verify(found.password if found else _nobodys(), password[: MOST + 1])
        if found is None or not good:
            left = min(buckets.left(who) for buckets, who in counted)
            raise errors.BadCredential(f"user and password do not match; {_tries(left)}")
        for buckets, who in counted:  # This one was no failure; those before it were, whoever made them.
            buckets.give(who)
        self._tries.fill(f"user:{user} {address}")
        self._remember(user, address)
        verified = found.password
        if _hasher().check_needs_rehash(verified):
            stronger = str(_hasher().hash(password))
            if self._ledger.rehash(name, verified, stronger):
                verified = stronger
            elif (again := self._ledger.find(name)) is not None and _verify(again.password, password):
                verified = again.password  # Another sign-in was sooner.
        return SignedIn(access.Role(found.role), verified)

    def _remember(self, user: str, address: str) -> None:
        self._known[user, address] = None
        self._known.move_to_end((user, address))
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


@functools.cache
def _hasher() -> Any:
    import argon2  # Only who has to do with passwords needs it.

    return argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@functools.cache
def _nobodys() -> str:
    """The hash of a password that nobody has: a user that there is not takes as long as one that there is."""
    return str(_hasher().hash("nobody has this password"))


def _verify(hash: str, password: str) -> bool:
    import argon2

    try:
        return bool(_hasher().verify(hash, password))
    except argon2.exceptions.VerifyMismatchError:
        return False


def _check_role(role: str) -> None:
    if role not in tuple(access.Role):
        raise errors.InvalidAccess([errors.Fault("/role", f"one of {', '.join(access.Role)} is wanted")])


def _hash(name: str, password: str) -> str:
    if not LEAST <= len(password) <= MOST:
        detail = f"{LEAST} to {MOST} characters are wanted"
    elif name in password.lower() or len(set(password)) < 5:
        detail = "something that cannot be guessed is wanted: a few words, say"
    else:
        return str(_hasher().hash(password))
    raise errors.InvalidAccess([errors.Fault("/password", detail)])


def _tries(left: int) -> str:
    if left == 0:
        return "the next try is in a minute"
    return f"{left} {'try is' if left == 1 else 'tries are'} left before a pause of one minute"
