"""Signatures by the Standard Webhooks scheme, so that a receiver knows who sent a request, and when.

Source: Standard Webhooks 1.0, https://github.com/standard-webhooks/standard-webhooks: HMAC-SHA256 over
``id.timestamp.body``, base64, after ``v1,``; several are separated by spaces, which is how keys are changed.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import re
from collections.abc import Sequence

from service.domain import errors

PREFIX = "whsec_"
LENGTHS = range(24, 65)  #: bytes of a key
ENTRY = re.compile(r"([a-z][a-z0-9_-]{0,99})(?:@([a-z0-9.:-]{1,253}))?=(\S+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A key, with the name under which payloads ask for it."""

    name: str
    host: str | None  #: the only host for which it signs; None: for all
    key: bytes = dataclasses.field(repr=False)


def read(entry: str) -> Secret:
    """A secret from ``name=whsec_…``, or ``name@host=whsec_…``. Raises ValueError, which does not show it."""
    found = ENTRY.fullmatch(entry)
    if not found or not found[3].startswith(PREFIX):
        raise ValueError("name=whsec_… is wanted, or name@host=whsec_…")
    try:
        key = base64.b64decode(found[3].removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in LENGTHS:
        raise ValueError(f"{found[1]}: the base64 of 24 to 64 bytes is wanted after whsec_ (openssl rand -base64 32)")
    return Secret(found[1], found[2], key)


def keys_for(known: Sequence[Secret], name: str, host: str) -> list[bytes]:
    """The keys of that name for a host: several while a key is changed. Raises SecretNotFound."""
    named = [secret for secret in known if secret.name == name]
    found = [secret.key for secret in named if secret.host in (None, host)]
    if not found:
        # The hosts are not told: whoever may post an event may read this.
        why = "it signs for other hosts only" if named else "none of MILLRACE_WEBHOOK_SECRETS has that name"
        raise errors.SecretNotFound(f"there is no secret {name!r} for {host}: {why}")
    return found


def headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes | None) -> dict[str, str]:
    """The three headers of a signed request. ``timestamp``: seconds since the epoch."""
    signed = f"{message_id}.{timestamp}.".encode() + (body or b"")
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
