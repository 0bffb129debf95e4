"""Who may do what: four roles over a table of permissions. What the table does not name is refused."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Mapping

from service.domain import errors


class Permission(enum.Enum):
    """One kind of act."""

    ASK = "ask"  #: whether this process is well, what the API looks like; open to all
    SUBMIT = "events.submit"  #: post events, see the types there are, and what became of one's own
    READ = "read"  #: see events, dead letters, schedules, types, queues, processes; payloads masked
    REVEAL = "payloads.reveal"  #: see payloads unmasked
    CONTROL = "control"  #: cancel, pause, resume, replay, discard
    SCHEDULE = "schedules.write"  #: make, change, pause, run and delete schedules
    AUDIT = "audit.read"  #: see who did what
    ACCESS = "access.write"  #: make and revoke keys and users


class Role(enum.StrEnum):
    """What somebody is."""

    PRODUCER = "producer"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_VIEWER = frozenset({Permission.ASK, Permission.READ})
_OPERATOR = _VIEWER | {Permission.SUBMIT, Permission.REVEAL, Permission.CONTROL, Permission.SCHEDULE}

#: What each role may do.
GRANTED: Mapping[Role, frozenset[Permission]] = {
    Role.PRODUCER: frozenset({Permission.ASK, Permission.SUBMIT}),
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Permission),
}

#: Of keys and users. No slash and no space: they part it from what is said beside it.
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}")
#: Of event types: a type, in which ``*`` stands for anything: ``orders.*``.
PATTERN = re.compile(r"[a-z0-9_.*]{1,100}")


class Kind(enum.StrEnum):
    """How somebody has shown who they are."""

    OFF = "off"  #: not at all: access is off
    KEY = "key"
    TOKEN = "token"  #: a JWT of an issuer
    SESSION = "session"  #: signed in to the console


@dataclasses.dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    name: str
    role: Role
    kind: Kind
    types: tuple[str, ...] = ()  #: patterns of the event types that may be posted; none: all
    id: str = ""  #: of the key or the session

    def may(self, permission: Permission) -> bool:
        """Whether the table grants it."""
        return permission in GRANTED[self.role]

    def may_submit(self, type_name: str) -> bool:
        """Whether events of this type may be posted. The permission is asked for besides."""
        return not self.types or _matches(self.types, type_name)

    def owns(self, producer: str | None) -> bool:
        """Whether an event of this producer was posted by them, under whatever name beside their own."""
        return producer is not None and producer.partition("/")[0] == self.name


#: Who asks while access is off.
ANYONE = Principal("anyone", Role.ADMIN, Kind.OFF)


def check_name(name: str) -> str:
    """``name`` itself, if a key or a user may have it; raises InvalidAccess."""
    if not NAME.fullmatch(name):
        raise errors.InvalidAccess(
            [errors.Fault("/name", "1 to 60 characters of a-z, 0-9, . _ @ - are wanted, like orders-service")]
        )
    return name


def check_types(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns themselves, if they are some; raises InvalidAccess."""
    for number, pattern in enumerate(patterns):
        if not PATTERN.fullmatch(pattern):
            raise errors.InvalidAccess(
                [errors.Fault(f"/types/{number}", "an event type is wanted, or a pattern like orders.*")]
            )
    return patterns


@functools.lru_cache(maxsize=4096)
def _matches(patterns: tuple[str, ...], type_name: str) -> bool:
    return any(_fits(pattern.split("*"), type_name) for pattern in patterns)


def _fits(pieces: list[str], name: str) -> bool:
    """Whether these pieces follow each other in a name, with anything between them. Each is looked for once: a regular
    expression of many stars would try all the places of each with all the places of the others.
    """
    first, *between = pieces
    if not between:
        return name == first
    last = between.pop()
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in between:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
