"""Every error that Millrace raises on purpose. The docstring of a class is its message.

HTTP status codes are decided in ``service.web.errors`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping


class MillraceError(Exception):
    """Something went wrong that Millrace knows by name."""

    #: What a program wants to know of it beside the message: members of the problem document.
    members: Mapping[str, str | None] = {}

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n")[0])


class SettingsError(MillraceError):
    """A setting is missing or wrong."""


class DeclarationError(MillraceError):
    """A handler or a schedule is declared wrongly."""

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field  #: the member of a plan that is wrong, "" where it is none or all of them


class UnknownEventType(MillraceError):
    """No handler is declared for this event type."""


class EventNotFound(MillraceError):
    """There is no event with this id."""


class QueueNotFound(MillraceError):
    """There is no queue of this name."""


class StrayNotFound(MillraceError):
    """There is no stray message with this id."""


class ScheduleNotFound(MillraceError):
    """There is no schedule of this name."""


class ScheduleExists(MillraceError):
    """There is a schedule of this name already."""


class DeclaredInCode(MillraceError):
    """The schedule is declared in code: change it there."""


class ScheduleRetired(MillraceError):
    """The schedule is retired: the code that declared it does so no more."""


class ScheduleChanged(MillraceError):
    """The schedule was changed meanwhile: look at it again."""


class SecretNotFound(MillraceError):
    """There is no secret of this name."""


class BeingWorked(MillraceError):
    """The event is being worked; ask again in a moment."""


class AlreadyEnded(MillraceError):
    """The event has ended; there is nothing left to cancel."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the event has ended: it {'is' if state == 'dead' else 'has'} {state}")
        self.members = {"state": state}


class NotDead(MillraceError):
    """Only a dead letter can be replayed or discarded."""

    def __init__(self, state: str) -> None:
        super().__init__(f"only a dead letter can be replayed or discarded; this event is {state}")
        self.members = {"state": state}


class AlreadyReplayed(MillraceError):
    """The dead letter was replayed before; a dead letter is replayed once."""

    def __init__(self, replayed_as: str, replayed_by: str | None) -> None:
        super().__init__(f"it was replayed as {replayed_as} by {replayed_by or 'someone unknown'}")
        self.members = {"replayed_as": replayed_as, "replayed_by": replayed_by}


class AlreadyDiscarded(MillraceError):
    """The dead letter was discarded before."""

    def __init__(self, discarded_by: str | None) -> None:
        super().__init__(f"it was discarded by {discarded_by or 'someone unknown'}")
        self.members = {"discarded_by": discarded_by}


class SearchTooSlow(MillraceError):
    """This search takes too long; narrow it by type, since or until."""


class InvalidEvent(MillraceError):
    """The event does not fit what its type asks for."""

    def __init__(self, faults: list[Fault] | None = None, message: str | None = None) -> None:
        super().__init__(message)
        self.faults = faults or []


class ModelFailed(InvalidEvent):
    """The payload model of the type failed, which says nothing of the event."""

    def __init__(self, error: Exception) -> None:
        found = f"the model raised {type(error).__name__}, where it may raise ValueError or AssertionError"
        super().__init__([Fault("", found)], f"{found}: its code is to be mended")
        self.__cause__ = error  #: what it raised


class InvalidSchedule(InvalidEvent):
    """The schedule cannot be as it is described."""


class InvalidAccess(InvalidEvent):
    """The key or the user cannot be as it is described."""


class KeyNotFound(MillraceError):
    """There is no key with this id."""


class UserNotFound(MillraceError):
    """There is no user of this name."""


class UserExists(MillraceError):
    """There is a user of this name already."""


class OwnUser(MillraceError):
    """Whoever is signed in cannot do this to themselves: another admin can, or `millrace users` on the host."""


class TwoKeysLive(MillraceError):
    """Two keys of this name are live: revoke one, or wait until the old one has expired."""


class NoKeysHere(MillraceError):
    """This installation makes no keys: MILLRACE_ACCESS_SECRET is not set (openssl rand -hex 32 makes one)."""


class NotSignedIn(MillraceError):
    """A credential is wanted: an API key or a token in the header Authorization, or a session."""


class BadCredential(NotSignedIn):
    """The credential is not good, or not any more."""


class NotPermitted(MillraceError):
    """This is not permitted to you."""

    def __init__(self, message: str | None = None, *, permission: str | None = None) -> None:
        super().__init__(message)
        self.members = {"permission": permission} if permission else {}


class TooManyRequests(MillraceError):
    """Too many requests; slow down."""

    def __init__(self, message: str | None = None, *, retry_after: int = 1, headers: Mapping[str, str] = {}) -> None:
        super().__init__(message)
        self.retry_after = retry_after  #: seconds
        self.headers = dict(headers)  #: what more is said of the limit


class IssuerUnavailable(MillraceError):
    """The issuer of tokens cannot be asked at the moment."""


class Fault:
    """One thing wrong with a document."""

    __slots__ = ("detail", "pointer")

    def __init__(self, pointer: str, detail: str) -> None:
        self.pointer = pointer  #: where, as a JSON pointer (RFC 6901), "" for the whole document
        self.detail = detail  #: what is wrong, and what would be right

    def __repr__(self) -> str:
        return f"Fault({self.pointer!r}, {self.detail!r})"


class NotStorable(MillraceError):
    """The ledger cannot take this event."""

    def __init__(self, message: str | None = None, *, index: int = 0) -> None:
        super().__init__(message)
        self.index = index  #: which of the events that were handed in together, from 0


class KeyReused(NotStorable):
    """This idempotency key was used before for a different event."""


class ExpiresTooSoon(NotStorable):
    """The event would expire before it may be worked: expires_at must lie ahead, and after run_at."""


class NotAccepted(MillraceError):
    """The event could not be stored in time; try again."""

    def __init__(self, message: str | None = None, *, event_ids: tuple[str, ...] = (), retry_after: int = 1) -> None:
        super().__init__(message)
        #: Empty when nothing was stored; the events' ids when a commit was under way and may have happened.
        self.event_ids = event_ids
        self.retry_after = retry_after  #: seconds


class Overloaded(MillraceError):
    """Too many requests wait already; try again."""

    def __init__(self, message: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after  #: seconds


class LedgerUnavailable(MillraceError):
    """The ledger (PostgreSQL) cannot be used at the moment."""


class SchemaNotReady(MillraceError):
    """The ledger's schema is missing or not the one of this version: run `millrace migrate`."""


class BrokerUnavailable(MillraceError):
    """The broker cannot be used at the moment."""


class NoSuchQueue(MillraceError):
    """There is no work queue of that name."""


class NotDrained(MillraceError):
    """A queue that was to be emptied still holds messages."""


class ForeignMessage(MillraceError):
    """A message on our queues is not a ticket of ours."""


class LeaseLost(MillraceError):
    """The lease was lost: another run has the event by now, and nothing that this one says counts any more."""


class Cancelled(MillraceError):
    """The event was cancelled while its handler ran; clean up and let this error through."""


class PoisonedSession(MillraceError):
    """A handler rolled back the session that its bundle shares; its events are worked one by one."""
