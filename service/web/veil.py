"""What payloads hide: fields are masked wherever a document is shown, unless somebody who may asks, and says why.

Masked are the fields that a type's model marks (a pydantic ``SecretStr``, or ``writeOnly`` in its JSON schema), and
those whose names the setting ``mask`` has. What is in the ledger, and what a handler gets, is never masked.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flask
import msgspec

from service.domain import errors as domain_errors
from service.domain import handlers, masks
from service.domain.access import Permission
from service.web import access, errors, operations, road, sessions

REASON = range(3, 201)  #: characters of a reason

# Numbers go through as they are: a double would lose digits of what PostgreSQL keeps.
decoder = msgspec.json.Decoder(float_hook=decimal.Decimal)
encoder = msgspec.json.Encoder(decimal_format="number")


def asked(args: Mapping[str, str], target: str) -> bool:
    """Whether ``?reveal=<reason>`` asks for a document without masks; that it was shown is in the audit log then.

    Raises InvalidParameter, NotPermitted; and LedgerUnavailable: what cannot be noted is not shown.
    """
    if unknown := args.keys() - {"reveal"}:
        raise errors.InvalidParameter([(n[:100], "there is no such parameter; there is reveal") for n in unknown])
    if "reveal" not in args:
        return False
    access.require(Permission.REVEAL)
    # No link on another site's page has somebody who is signed in reveal anything.
    sessions.check_origin(flask.request, road.current().settings.public_url)
    reason = args["reveal"].strip()
    if len(reason) not in REASON or not reason.isprintable():
        raise errors.InvalidParameter(
            [("reveal", f"why it must be seen is wanted, {REASON[0]} to {REASON[-1]} characters")]
        )
    road.current().operations.audit.write("payload.revealed", target, operations.by(), reason=reason)
    return True


def masked_text(text: str, type_name: str) -> tuple[bytes, list[str]]:
    """(JSON with masks, where they are): of JSON as PostgreSQL wrote it, that belongs to an event of this type."""
    is_masked = _matcher(type_name)
    value, places = masks.masked(decoder.decode(text), is_masked)
    return (encoder.encode(value) if places else text.encode()), places


def check_whole(value: Any, type_name: str) -> None:
    """Raises InvalidEvent for a payload with a mask in the place of a value: it was shown like that, and sent back."""
    places = masks.left_in(value, _matcher(type_name))
    if places:
        told = f"{masks.MASK} is the mask of this field, not its value: ?reveal=<why> (--reveal) shows it"
        raise domain_errors.InvalidEvent([domain_errors.Fault(place, told) for place in places])


def masked(value: Any, type_name: str) -> Any:
    """A document with masks."""
    return masks.masked(value, _matcher(type_name))[0]


def masked_detail(detail: Any) -> Any:
    """What an entry of the audit log tells, with masks: a payload in it by the type that stands beside it."""
    return masks.masked(_by_type(detail), masks.matcher(road.current().settings.mask))[0]


def _by_type(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    found = {name: _by_type(child) for name, child in value.items()}
    if isinstance(value.get("type"), str) and "payload" in value:
        found["payload"] = masked(value["payload"], value["type"])
    return found


def _matcher(type_name: str) -> Callable[[str], bool]:
    here = road.current()
    found = masks.matcher(here.settings.mask)
    marked = _marked(here.registry.get(type_name)) if type_name in here.registry else frozenset()
    return (lambda name: name in marked or found(name)) if marked else found


@functools.lru_cache(maxsize=1024)
def _marked(handler: handlers.Handler) -> frozenset[str]:
    """The names of the fields that a handler's model marks."""
    if handler.payload is None:
        return frozenset()
    import pydantic  # Slow to import, and there by now: the handler has a model.

    return frozenset(masks.marked(pydantic.TypeAdapter(handler.payload).json_schema()))
