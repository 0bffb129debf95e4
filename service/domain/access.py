"""Who may do what: four roles over a table of permissions. What the table does not name is refused."""

from __future__ import annotations

import enum
from collections.abc import Mapping


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


class Role(enum.Enum):
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
