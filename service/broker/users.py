"""The users of RabbitMQ, by role, with the least they need: what each may configure, write and read, as patterns.

Whoever declares is not who works: exchanges, queues and policies are an administrator's, by `millrace topology apply`
or by importing the definitions. A process that may not declare checks nothing and works.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from service.domain import errors, topology

WEB, WORKER, CLOCK, ADMIN, MONITORING = (
    "millrace-web",
    "millrace-worker",
    "millrace-clock",
    "millrace-admin",
    "millrace-monitoring",
)
NAMES = (WEB, WORKER, CLOCK, ADMIN, MONITORING)
#: What Celery makes for its remote control and its gossip between workers. With `--without-gossip` the first two go.
CELERY = (r"celeryev", r"celeryev\..*", r".*\.?celery\.pidbox")
NOTHING = "^$"


@dataclasses.dataclass(frozen=True, slots=True)
class Rights:
    """What a user may do in the virtual host."""

    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING
    tags: str = ""  #: of the management plugin, separated by commas


def rights(named: frozenset[str]) -> dict[str, Rights]:
    """User → rights; ``named`` are the queues that handlers ask for."""
    queues = [queue.name for queue in topology.queues(named)]
    work = [name for name in queues if name != topology.DEAD_QUEUE]
    # A queue that is changed stands beside itself for a while.
    ours = _any([*topology.EXCHANGES, *queues, *(topology.parallel(name) for name in work)])
    return {
        WEB: Rights(write=_any([topology.EVENTS])),
        WORKER: Rights(configure=_any([], CELERY), write=_any([], CELERY), read=_any(work, CELERY)),
        # It looks how much is ready in the work queues, which asks for no right, and empties the dead one.
        CLOCK: Rights(write=_any([topology.EVENTS, topology.PERIODIC]), read=_any([topology.DEAD_QUEUE])),
        ADMIN: Rights(ours, f"{ours[:-2]}|amq\\.default)$", ours, "policymaker"),
        MONITORING: Rights(tags="monitoring"),
    }


def definitions(named: frozenset[str], vhost: str, passwords: Mapping[str, str]) -> dict[str, Any]:
    """Virtual host, users and permissions, as they stand in RabbitMQ definitions."""
    found = rights(named)
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {"name": name, "password_hash": hashed(passwords[name]), "hashing_algorithm":
             "rabbit_password_hashing_sha256", "tags": found[name].tags, "limits": {}}
            for name in NAMES
        ],
        "permissions": [
            {"user": name, "vhost": vhost, "configure": one.configure, "write": one.write, "read": one.read}
            for name, one in found.items()
        ],
    }  # fmt: skip


def read_passwords(text: str) -> dict[str, str]:
    """``user:password`` in each line, one for each user; raises SettingsError."""
    found = dict(line.strip().partition(":")[::2] for line in text.splitlines() if line.strip())
    if wrong := sorted(set(found) ^ set(NAMES)) + sorted(name for name, password in found.items() if not password):
        known = ", ".join(NAMES)
        raise errors.SettingsError(
            f"the passwords: {wrong[0]!r}: one line `user:password` is wanted for each of {known}"
        )
    return found


def hashed(password: str, salt: bytes | None = None) -> str:
    """As RabbitMQ keeps a password: the salt of four bytes, then SHA-256 of salt and password, in base64."""
    salt = secrets.token_bytes(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _any(names: Iterable[str], patterns: Iterable[str] = ()) -> str:
    return f"^({'|'.join([*map(re.escape, names), *patterns])})$"
