"""The shapes of access: keys, users, and the log of who did what."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from service.domain.access import Role
from service.web.openapi import shapes


class NewKey(shapes.Shape):
    """What a key shall be."""

    name: str
    role: Role
    types: Annotated[list[str], msgspec.Meta(description="That a producer's key may post, like orders.*")] = (
        msgspec.field(default_factory=list)
    )
    lasts: Annotated[float | None, msgspec.Meta(description="Seconds; null: until it is revoked.")] = None


class Key(shapes.Shape):
    """A key, without what opens anything."""

    id: str
    name: str
    role: str
    types: list[str]
    created_at: shapes.Moment
    expires_at: shapes.Moment | None


class KeyItself(Key, kw_only=True):
    """A new key. This answer is the only one that holds it."""

    key: Annotated[str, msgspec.Meta(description="What stands in `Authorization`, after `Bearer `.")]


class Keys(shapes.Shape):
    """The keys by name."""

    keys: list[Key]


class Entry(shapes.Shape):
    """One act."""

    n: shapes.Count
    at: shapes.Moment
    actor: str | None
    act: str
    target: str | None
    detail: dict[str, Any]


class Audit(shapes.Shape):
    """A page of the log, the newest first."""

    audit: list[Entry]
    next_cursor: Annotated[int | None, msgspec.Meta(description="To be given as `cursor` for the next page.")]


class Broken(shapes.Shape):
    """Where the chain does not hold."""

    n: shapes.Count
    what: str


class Verdict(shapes.Shape):
    """What came of checking the chain of the log."""

    holds: bool
    rows: shapes.Count
    end: Annotated[str, msgspec.Meta(description="The hash of its last row: keep it where nobody can write both.")]
    breaks: Annotated[list[Broken], msgspec.Meta(description="The first hundred.")]
    more_breaks: Annotated[shapes.Count, msgspec.Meta(description="Those beyond them.")]
    end_lost: Annotated[bool, msgspec.Meta(description="No row has the hash that was asked for.")]


class NewUser(shapes.Shape):
    """What a local user shall be."""

    name: str
    role: Role
    password: Annotated[str, msgspec.Meta(description="12 to 256 characters that cannot be guessed.")]


class NewPassword(shapes.Shape):
    """Another password."""

    password: str


class NewRole(shapes.Shape):
    """Another role."""

    role: Role


class Disabled(shapes.Shape):
    """Whether a user may sign in."""

    name: str
    disabled: bool


class Added(shapes.Shape):
    """A user that was added."""

    name: str
    role: Role


class User(Added, kw_only=True):
    """A local user."""

    disabled: Annotated[bool, msgspec.Meta(description="May not sign in.")]
    created_at: shapes.Moment
    created_by: str | None
    changed_at: shapes.Moment
    seen_at: Annotated[shapes.Moment | None, msgspec.Meta(description="In a session that goes on.")]


class Users(shapes.Shape):
    """The local users by name."""

    users: list[User]


class Session(shapes.Shape):
    """Somebody who is signed in to the console."""

    name: str
    local: Annotated[bool, msgspec.Meta(description="Signed in by password; else at the issuer.")]
    role: Role
    created_at: shapes.Moment
    seen_at: shapes.Moment
    ends_at: shapes.Moment


class Sessions(shapes.Shape):
    """Those who were seen last first."""

    sessions: Annotated[list[Session], msgspec.Meta(description="The first 500.")]
    count: Annotated[shapes.Count, msgspec.Meta(description="How many there are.")]


class Ended(shapes.Shape):
    """Who was signed out."""

    name: str
    ended: Annotated[shapes.Count, msgspec.Meta(description="Sessions that there were.")]
