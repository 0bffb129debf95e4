"""CloudEvents 1.0: the JSON format, and the content modes of the HTTP protocol binding.

Sections named "HTTP" are those of the HTTP Protocol Binding 1.0.2, "JSON" those of the JSON Event Format, "core" those
of the specification itself.

Millrace keeps JSON: ``data`` must be JSON. ``type`` is the event type, ``data`` the payload, ``source`` and ``id``
together are the idempotency key (core 3.1.1: a producer must give each of its events another pair). All other context
attributes, extensions too, are kept beside the payload: a handler reads them in ``ctx.event.attributes``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from service.domain import errors
from service.web import body, entry, timing, trace
from service.web import errors as web_errors

STRUCTURED = "application/cloudevents+json"  #: HTTP 3.2
BATCH = "application/cloudevents-batch+json"  #: HTTP 3.3
PREFIX = "HTTP_CE_"  #: of the attributes in a WSGI environment (HTTP 3.1.3.1)

REQUIRED = ("id", "source", "type")  #: core 3.1.1
TEXTS = ("subject", "dataschema", "datacontenttype", "time")  #: core 3.1.2
INSTANTS = ("time", "expirytime")  #: core 3.1.2, and the extension of this name
NAME = re.compile(r"[a-z0-9]+")  #: core 3.1: of an attribute
#: Core 3.2: what no string may hold: control characters and non-characters. The parser has refused halves of pairs.
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
INTEGERS = range(-(2**31), 2**31)  #: core 3.2
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")  #: RFC 3986, section 4.3: what an absolute URI begins with
#: What is not kept among the attributes, because it has a place of its own, or is the same for all.
ELSEWHERE = {"specversion", "type", "data", "data_base64", "datacontenttype", "traceparent"}

#: Of idempotency keys. The line break keeps them apart from those of producers, whose names have none.
SCOPE = "cloudevents\n"
KEY_LENGTH = 255  #: characters; a longer source or id is known by its hash, for the ledger's index has no room for it
MAX_HEADER = 128 * 1024  #: characters of all attributes of one event


def of_json(value: Any, times: timing.Timing, max_depth: int) -> entry.Sent:
    """An event in the JSON format (JSON 2 and 3). Raises InvalidCloudEvent; InvalidEvent for data that is no JSON."""
    if not isinstance(value, dict):
        raise web_errors.InvalidCloudEvent([("", "an object is wanted")])
    # JSON 2.2: an attribute that is null is one that is not there.
    given = {k: v for k, v in value.items() if v is not None and k not in ("data", "data_base64")}
    faults = attribute_faults(given)
    if value.get("data_base64") is not None and "data" in value:
        faults.append(("data_base64", "data is given too, and only one of them may be"))
    if faults:
        raise web_errors.InvalidCloudEvent(faults)
    if not is_json(given.get("datacontenttype", "application/json")):
        raise errors.InvalidEvent([errors.Fault("/datacontenttype", "JSON is wanted: no other data is kept")])
    if value.get("data_base64") is not None:
        return _sent(given, _decoded(value["data_base64"], max_depth), "/data_base64", times)
    return _sent(given, body.Document.of(value.get("data")), "/data", times)


def of_headers(environ: Mapping[str, Any], document: body.Document, times: timing.Timing) -> entry.Sent:
    """An event in binary mode (HTTP 3.1), whose data was read. Raises InvalidCloudEvent."""
    given: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for header, value in environ.items():
        if header.startswith(PREFIX):
            name = header.removeprefix(PREFIX).lower().replace("_", "-")
            try:
                given[name] = decoded(value)
            except ValueError as error:
                faults.append((name, str(error)))
    # HTTP 3.1.1: datacontenttype is Content-Type, and has no header of its own.
    if faults := faults + attribute_faults(given):
        raise web_errors.InvalidCloudEvent(faults)
    return _sent(given, document, "", times)


def is_binary(environ: Mapping[str, Any]) -> bool:
    """Whether a request is a CloudEvent in binary mode, or means to be."""
    return any(name.startswith(PREFIX) for name in environ)


def decoded(value: str) -> str:
    """The value of a header (HTTP 3.1.3.2): double quotes are taken off, then percent-encoding is decoded, once."""
    if not value.isascii() or not value.isprintable():
        raise ValueError("printable ASCII is wanted, and everything else percent-encoded")
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if re.search("%(?![0-9A-Fa-f]{2})", value):
        raise ValueError("a percent sign that begins no %xx is itself written %25")
    try:
        return urllib.parse.unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise ValueError("what is percent-encoded is not UTF-8") from None


def attribute_faults(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the context attributes of an event."""
    if given.get("specversion") != "1.0":
        found = given.get("specversion")
        return [("specversion", f"1.0 is wanted, and no other version is known, such as {str(found)[:20]!r}")]
    faults = [(name, "it is required, a text that is not empty") for name in REQUIRED if not _is_text(given.get(name))]
    faults += [(name[:100], _fault(name, value)) for name, value in given.items() if name not in REQUIRED]
    if sum(len(n) + len(str(v)) for n, v in given.items()) > MAX_HEADER:
        faults.append(("", f"the attributes are longer than {MAX_HEADER} characters"))
    return [(name, detail) for name, detail in faults if detail]


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON in UTF-8 (JSON 3.1 names the same subtypes)."""
    plain, _, parameters = media_type.partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    return bool(body.MEDIA_TYPE.fullmatch(plain.strip().lower())) and (
        charset is None or charset[1].lower() in ("utf-8", "utf8")
    )


def _fault(name: str, value: Any) -> str:
    """What is wrong with an optional attribute; nothing: an empty text."""
    if not NAME.fullmatch(name):
        return "the name of an attribute has lower-case letters and digits only (a to z, 0 to 9)"
    if name in TEXTS and not _is_text(value):
        return "a text that is not empty is wanted"
    if name in INSTANTS:
        try:
            timing.instant(value)
        except ValueError as error:
            return str(error)
    if name == "dataschema" and not SCHEME.fullmatch(value):
        return "an absolute URI is wanted"
    return "" if _is_value(value) else "a text without control characters, a boolean or an integer of 32 bits is wanted"


def _is_value(value: Any) -> bool:
    """Whether an attribute may have this value (core 3.2)."""
    if isinstance(value, str):
        return not FORBIDDEN.search(value)
    return isinstance(value, bool) or (isinstance(value, int) and value in INTEGERS)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and not FORBIDDEN.search(value)


def _decoded(data: Any, max_depth: int) -> body.Document:
    """The JSON in ``data_base64`` (JSON 3.1.1)."""
    try:
        return body.parse(base64.b64decode(data, validate=True), max_depth)
    except (TypeError, ValueError, binascii.Error):
        raise errors.InvalidEvent([errors.Fault("/data_base64", "base64 is wanted (RFC 4648)")]) from None
    except body.NotStrictJson as error:
        faults = [errors.Fault("/data_base64", f"the data is no JSON, and no other is kept: {error}")]
        raise errors.InvalidEvent(faults) from None


def _sent(given: Mapping[str, Any], document: body.Document, pointer: str, times: timing.Timing) -> entry.Sent:
    """From the attributes, which were checked, to what the door takes."""
    if "expirytime" in given:  # The extension of this name: after it the event is of no use.
        times = timing.Timing(times.run_at, times.delay, timing.instant(given["expirytime"]))
    kept = {name: value for name, value in given.items() if name not in ELSEWHERE}
    return entry.Sent(
        type=given["type"],
        document=document,
        pointer=pointer,
        key=_short(given["id"]),
        scope=SCOPE + _short(given["source"]),
        timing=times,
        # The extension of the same name: what came with the event outlives the hops of its messages.
        traceparent=trace.valid(str(given.get("traceparent", ""))),
        attributes=body.encoder.encode(kept).decode(),
        told=str(given.get("subject", "")),
    )


def _short(text: str) -> str:
    return text if len(text) <= KEY_LENGTH else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
