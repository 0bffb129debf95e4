"""Reading messages whose headers py-amqp cannot read.

Headers may be nested as deep as a frame is long. py-amqp reads them by recursion, and its error would come up where
messages are received: it would end each worker in turn that the message goes to. Read as below, the message is refused
like any other that is not ours, and is filed with the bytes of its headers.
"""

from __future__ import annotations

from typing import Any

from amqp import exceptions, serialization

BASIC = 60  #: class id of messages in AMQP 0-9-1


def install() -> None:
    """Have py-amqp read headers like this. Once is enough; more often does no harm."""
    readers: dict[int, Any] = serialization.PROPERTY_CLASSES
    readers[BASIC] = _read


_as_it_comes = serialization.PROPERTY_CLASSES[BASIC]


def _read(buf: Any, offset: int) -> tuple[dict[str, Any], int]:
    try:
        found: tuple[dict[str, Any], int] = _as_it_comes(buf, offset)
    except (RecursionError, exceptions.FrameSyntaxError, ValueError):
        return {"application_headers": {"x-unreadable": bytes(buf[offset:]).hex()}}, len(buf)
    return found
