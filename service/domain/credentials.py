"""API keys: ``mr_<id>_<secret>``. The whole of one is shown once; what is kept of it is a keyed hash.

The secret is 40 characters of base 62 (238 bits) and 6 more that are their checksum, as GitHub's tokens have one: what
was cut off or made up is told from a key without asking anybody, and scanners of repositories find keys by ``PATTERN``.
A fast hash is right for what cannot be guessed; passwords have a slow one (``service.application.users``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Sequence

PREFIX = "mr_"
#: What a key looks like, for scanners of secrets.
PATTERN = re.compile(r"mr_([0-9a-f]{12})_([0-9A-Za-z]{40})([0-9A-Za-z]{6})")
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LENGTH = 40  #: characters of a secret, without its checksum
LEAST_PEPPER = 32  #: characters of a secret of ``MILLRACE_ACCESS_SECRET``


@dataclasses.dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it was made."""

    id: str
    text: str = dataclasses.field(repr=False)  #: the whole of it


def make() -> NewKey:
    """A key of 238 random bits."""
    id, secret = secrets.token_hex(6), "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return NewKey(id, f"{PREFIX}{id}_{secret}{checksum(secret)}")


def id_of(text: str) -> str | None:
    """The id in a key; None for what cannot be one."""
    found = PATTERN.fullmatch(text)
    return found[1] if found and checksum(found[2]) == found[3] else None


def checksum(secret: str) -> str:
    """The CRC-32 of a secret, in six characters of base 62."""
    rest, found = zlib.crc32(secret.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, len(ALPHABET))
        found = ALPHABET[digit] + found
    return found


def keyed_hash(text: str, pepper: str) -> str:
    """What is kept of a key or a session's token."""
    return hmac.digest(pepper.encode(), text.encode(), hashlib.sha256).hex()


def hashes(text: str, peppers: Sequence[str]) -> list[str]:
    """The same by each of the peppers, of which there are several while one is changed: the first makes new ones."""
    return [keyed_hash(text, pepper) for pepper in peppers]
