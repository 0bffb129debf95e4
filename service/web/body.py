"""The JSON that the door takes: RFC 8259, without what two readers may understand differently or a ledger cannot keep.

Refused: what is not UTF-8 or begins with a byte order mark, NaN and Infinity, numbers that no double can hold, integers
of more than 4,300 digits, repeated keys, halves of surrogate pairs, NUL in strings, deep nesting. Integers up to that
length are kept exactly: PostgreSQL's numeric and Python's int have room for them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from typing import Any

import flask
import msgspec
from werkzeug import exceptions

from service.domain import errors

MEDIA_TYPE = re.compile(r"application/(json|[a-z0-9!#$&^_.+-]+\+json)")
HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
MOST_FAULTS = 10  #: named in one answer

decoder = msgspec.json.Decoder()
encoder = msgspec.json.Encoder()
sorting_encoder = msgspec.json.Encoder(order="sorted")


class NotStrictJson(errors.MillraceError):
    """The body is not JSON as Millrace takes it."""

    def __init__(self, *faults: errors.Fault) -> None:
        super().__init__(faults[0].detail)
        self.faults = list(faults)


class CutOff(NotStrictJson):
    """The end of the body is missing. A part of a document may be a document: 12 of 1234, any number of whole lines."""

    def __init__(self, how: str = "") -> None:
        super().__init__(errors.Fault("", f"the body was cut off{how}"))
        self.members = {"stored": "no"}


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A JSON document that was checked."""

    value: Any  #: as Python objects
    text: bytes  #: as JSON, written anew: the shortest form

    @classmethod
    def of(cls, value: Any) -> Document:
        """A part of a document that was checked."""
        return cls(value, encoder.encode(value))

    def canonical(self) -> bytes:
        """The same bytes for the same document, however its keys were ordered."""
        return sorting_encoder.encode(self.value)


def read(request: flask.Request, max_depth: int) -> Document:
    """The JSON document that a request carries.

    Raises NotStrictJson; UnsupportedMediaType and RequestEntityTooLarge of werkzeug, whose limit
    ``request.max_content_length`` holds for a body of unknown length too.
    """
    check_media_type(request)
    return parse(read_bytes(request), max_depth)


def read_bytes(request: flask.Request) -> bytes:
    """The whole body; raises RequestEntityTooLarge, and CutOff."""
    data, length = request.get_data(cache=False), request.content_length
    if length is None:
        # Of a body of unknown length werkzeug hands out the beginning, and raises only when it is asked for more.
        if len(data) == request.max_content_length:
            raise exceptions.RequestEntityTooLarge()
        return data
    return whole(data, length)


def whole(data: bytes, length: int) -> bytes:
    """``data`` itself if it has all that was announced; else raises CutOff."""
    if len(data) < length:
        raise CutOff(f" after {len(data)} of {length} bytes")
    return data


def check_media_type(request: flask.Request) -> None:
    """Raises UnsupportedMediaType unless the body says that it is plain JSON in UTF-8."""
    given = request.environ.get("CONTENT_TYPE", "")
    if given != "application/json":
        if not MEDIA_TYPE.fullmatch(request.mimetype):
            raise exceptions.UnsupportedMediaType(
                f"Content-Type: application/json is wanted, not {given[:100] or 'nothing'} (curl --json sends it)"
            )
        if request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
            raise exceptions.UnsupportedMediaType("JSON is UTF-8 here: leave the charset away")
    check_encoding(request)


def check_encoding(request: flask.Request) -> None:
    """Raises UnsupportedMediaType for a compressed body."""
    encoding = request.environ.get("HTTP_CONTENT_ENCODING", "")
    if encoding.strip().lower() not in ("", "identity"):
        raise exceptions.UnsupportedMediaType(f"Content-Encoding {encoding[:100]} is not taken: send the body as it is")


def parse(data: bytes, max_depth: int) -> Document:
    """The document in ``data``; raises NotStrictJson."""
    if not data:
        raise NotStrictJson(errors.Fault("", "the body is empty: JSON is wanted"))
    try:
        value = decoder.decode(data)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotStrictJson(errors.Fault("", _reason(data, error))) from None
    # Each level of nesting costs a bracket, so few brackets need no look.
    if data.count(b"{") + data.count(b"[") > max_depth and deeper_than(value, max_depth):
        raise _too_deep(max_depth)
    text = encoder.encode(value)
    if may_hide_faults(data, text) and (faults := hidden_faults(data)):
        raise NotStrictJson(*faults)
    return Document(value, text)


def deeper_than(value: Any, levels: int) -> bool:
    """Whether arrays and objects are nested deeper than ``levels``."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return bool(level)


def may_hide_faults(data: bytes, text: bytes, beside: int = 0) -> bool:
    """Whether ``data`` may have a repeated key or a NUL in it; ``text`` is what it became. Never a false no.

    ``beside``: how many members there are around what became ``text``.

    Every key has its colon. Written anew, a document has all colons that it had, those in strings too, but for the ones
    of keys that were repeated. Only an escaped colon, ``\\u003a``, could make up for one that is missing.
    """
    return b"\\u003" in data or b"\\u0000" in data or data.count(b":") != text.count(b":") + beside


class Pairs(list[tuple[str, Any]]):
    """An object as it was written, repeated keys and all."""


def hidden_faults(data: bytes) -> list[errors.Fault]:
    """The repeated keys and the NULs of a document, with their places. Slow, and exact."""
    faults: list[errors.Fault] = []
    rest = [("", json.loads(data, object_pairs_hook=Pairs))]
    while rest and len(faults) < MOST_FAULTS:
        pointer, value = rest.pop()
        if isinstance(value, Pairs):
            for key, times in Counter(key for key, _ in value).items():
                place = f"{pointer}/{_escaped(key)}"
                if times > 1:
                    faults.append(errors.Fault(place, "this key is repeated"))
                if "\0" in key:
                    faults.append(errors.Fault(place, "this key has a NUL (\\u0000) in it"))
            rest += [(f"{pointer}/{_escaped(key)}", child) for key, child in reversed(value)]
        elif isinstance(value, list):
            rest += [(f"{pointer}/{number}", value[number]) for number in reversed(range(len(value)))]
        elif isinstance(value, str) and "\0" in value:
            faults.append(errors.Fault(pointer, "this string has a NUL (\\u0000) in it"))
    return faults[:MOST_FAULTS]


def pointer(key: str) -> str:
    """The JSON pointer (RFC 6901) of a member of the whole document."""
    return f"/{_escaped(key[:100])}"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _too_deep(max_depth: int) -> NotStrictJson:
    return NotStrictJson(errors.Fault("", f"the document is nested deeper than {max_depth} levels"))


def _reason(data: bytes, error: Exception) -> str:
    """Why the decoder gave up, in words for its sender."""
    if data.startswith(b"\xef\xbb\xbf"):
        return "the body begins with a byte order mark: send UTF-8 without one"
    if isinstance(error, UnicodeDecodeError):
        try:
            data.decode()  # The decoder does not say where.
        except UnicodeDecodeError as found:
            return f"the body is not UTF-8: {found.reason} (byte {found.start})"
    hint = " (has it half of a surrogate pair, \\ud800 to \\udfff?)" if HALF_PAIR.search(data) else ""
    return f"the body cannot be read: {error}{hint}"
