"""``Idempotency-Key``, by the IETF draft (draft-ietf-httpapi-idempotency-key-header).

A key belongs to who sends it: its scope is what ``X-Producer`` says, and nothing else. Two services that use the same
HTTP library have the same ``User-Agent``, and must not have the same keys.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from service.web import access, body, hooks
from service.web import errors as web_errors

LENGTH = 255  #: characters of a key

#: Section 2.1 of the draft: an Item of RFC 8941 that is a String. Its parameters (RFC 8941, section 3.1.2) say nothing.
PARAMETERS = r"""(?: *; *[a-z*][a-z0-9_.*-]*(?:=(?:"(?:[ !#-\[\]-~]|\\["\\])*"|[^\s";,]+))?)*"""
QUOTED = re.compile(rf'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"{PARAMETERS}')
#: What many clients send in its place: a bare token.
BARE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~:/=-]+")


def key(given: str | None) -> str | None:
    """The key in the header; raises InvalidHeader for one that cannot be kept."""
    if given is None:
        return None
    quoted = QUOTED.fullmatch(given)
    found = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given
    if len(found) > LENGTH or not (quoted or BARE.fullmatch(found)):
        raise web_errors.InvalidHeader(
            f'Idempotency-Key: 1 to {LENGTH} ASCII characters in quotes are wanted, like "8e03978e"'
        )
    return found


def is_key(text: object) -> bool:
    """Whether a text can be a key that is not in a header."""
    return isinstance(text, str) and 0 < len(text) <= LENGTH and text.isprintable()


def scope(environ: dict[str, Any]) -> str:
    """What the keys of a request are unique in."""
    return hooks.producer(environ) or "" if access.of(environ) else hooks.named_producer(environ) or ""


def scope_of(source: str, environ: dict[str, Any]) -> str:
    """The same for a CloudEvent: its source. Two principals who name the same one do not meet in it."""
    principal = access.of(environ)
    return source if principal is None else f"{principal.name} {source}"


def fingerprint(type: str, document: body.Document, *told: str) -> str:
    """What tells a repeat from another event under the same key: type, payload, and what was ``told`` beside them."""
    parts = [type.encode(), document.canonical(), *(t.encode() for t in told if t)]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()
