"""Many events as lines of JSON (NDJSON): ``{"type": …, "payload": …}`` and, as wished, a key and times."""

from __future__ import annotations

from typing import Any

import msgspec

from service.domain import errors
from service.web import body, entry, idempotency, timing, trace

MEDIA_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MEMBERS = ("type", "payload", "key", "run_at", "delay", "expires_at", "traceparent")


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    """What most lines have."""

    type: str
    payload: Any


plain_decoder = msgspec.json.Decoder(Plain)


def lines(data: bytes) -> list[bytes]:
    """The lines that are not blank."""
    return [line for line in data.split(b"\n") if line and not line.isspace()]


def read(line: bytes, max_depth: int) -> entry.Sent:
    """The event in a line; raises NotStrictJson and InvalidEvent."""
    return _read_plain(line, max_depth) or _read_any(line, max_depth)


def _read_plain(line: bytes, max_depth: int) -> entry.Sent | None:
    """A line with no more than a type and a payload, at half the cost; None for one that needs a closer look."""
    try:
        found = plain_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    text = body.encoder.encode(found.payload)
    if line.count(b"{") + line.count(b"[") > max_depth or body.may_hide_faults(line, text, beside=2):
        return None
    return entry.Sent(type=found.type, document=body.Document(found.payload, text), pointer="/payload")


def _read_any(line: bytes, max_depth: int) -> entry.Sent:
    value = body.parse(line, max_depth + 1).value
    if not isinstance(value, dict):
        raise errors.InvalidEvent([errors.Fault("", 'an object is wanted, like {"type": "a.b", "payload": {}}')])
    faults = _faults(value)
    times = timing.NONE
    try:
        times = timing.read(value)
    except timing.Faulty as error:
        faults += [errors.Fault(f"/{name}", detail) for name, detail in error.faults]
    if faults:
        raise errors.InvalidEvent(faults)
    return entry.Sent(
        type=value["type"],
        document=body.Document.of(value["payload"]),
        pointer="/payload",
        key=value.get("key"),
        timing=times,
        traceparent=trace.valid(value.get("traceparent")),
    )


def _faults(value: dict[str, Any]) -> list[errors.Fault]:
    """What is wrong with the members of a line, but for its times."""
    faults = []
    for name in value.keys() - set(MEMBERS):
        faults.append(errors.Fault(body.pointer(name), f"there is no such member; there are {', '.join(MEMBERS)}"))
    if not isinstance(value.get("type"), str):
        faults.append(errors.Fault("/type", "the event's type is wanted, like orders.created"))
    if "payload" not in value:
        faults.append(errors.Fault("/payload", "it is missing"))
    if "key" in value and not idempotency.is_key(value["key"]):
        faults.append(errors.Fault("/key", f"a text of 1 to {idempotency.LENGTH} printable characters is wanted"))
    if not isinstance(value.get("traceparent", ""), str):
        faults.append(errors.Fault("/traceparent", "a text is wanted"))
    return sorted(faults[: body.MOST_FAULTS], key=lambda f: f.pointer)
