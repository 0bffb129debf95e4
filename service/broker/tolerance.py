"""Reading messages whose headers or routing keys py-amqp cannot read.

Headers may be nested as deep as a frame is long, hold instants of any year, and names of any bytes. What py-amqp raises
at them would come up where messages are received: it would end each worker in turn that the message goes to, and stop
whoever empties the queue `dead`. Read as below, the message is refused like any other that is not ours, and is filed
with the bytes of its headers.
"""

from __future__ import annotations

from typing import Any

from amqp import abstract_channel, serialization

BASIC = 60  #: class id of messages in AMQP 0-9-1


def install() -> None:
    """Have py-amqp read messages like this. Once is enough; more often does no harm."""
    readers: dict[int, Any] = serialization.PROPERTY_CLASSES
    readers[BASIC] = _read
    channels: Any = abstract_channel
    channels.loads = _loads


_as_it_comes = serialization.PROPERTY_CLASSES[BASIC]
_loads_as_it_comes: Any = serialization.loads


def _read(buf: Any, offset: int) -> tuple[dict[str, Any], int]:
    try:
        found: tuple[dict[str, Any], int] = _as_it_comes(buf, offset)
    except Exception:  # Of an instant alone: ValueError, OverflowError, OSError.
        return {"application_headers": {"x-unreadable": bytes(buf[offset:]).hex()}}, len(buf)
    return found


def _loads(form: str, buf: Any, offset: int) -> Any:
    """The arguments of a method: that of a delivery has the routing key, which may be any bytes."""
    try:
        return _loads_as_it_comes(form, buf, offset)
    except UnicodeDecodeError:
        return _loads_as_it_comes(form, _Lenient(buf), offset)


class _Lenient(bytes):
    """Bytes whose parts can be decoded, whatever they are."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Lenient(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "") -> str:
        return super().decode(encoding, "replace")
