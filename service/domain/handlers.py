"""What the service knows of a handler, and the registry of all of them."""

from __future__ import annotations

import builtins
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from service.domain import backoff, errors, event, objective, topology

BUNDLE_WORK = 0.05  #: seconds of work that ride on one ticket, where the size is not fixed
LARGEST_BUNDLE = 1024  #: events, likewise; so many that tickets of whole flushes of quick ones still join
UNKNOWN_BULK = 10  #: events for a function that wants many, while nobody knows how long they take


class PayloadModel(Protocol):
    """How a payload is checked. Written for pydantic models without importing pydantic here."""

    def __call__(self, payload: Any, /) -> Any: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Handler:
    """The user's function for one event type, with what it asked for."""

    type: str
    function: Callable[..., Any]
    payload: Any = None  #: a pydantic model, or None for any JSON
    parse: PayloadModel | None = None  #: raises InvalidEvent for a payload that does not fit
    queue: str = topology.EVENTS_QUEUE
    bundle: int | None = None  #: how many events ride on one ticket at the most; None: by their measured run time
    bulk: bool = False  #: the function is given the list of events
    detached: bool = False  #: it runs outside the ledger's transaction, under a lease
    attempts: int = 5  #: before the event is a dead letter
    no_retry: tuple[builtins.type[Exception], ...] = ()  #: errors after which the event is a dead letter at once
    backoff: backoff.Backoff = dataclasses.field(default_factory=backoff.Backoff)
    soft_limit: float | None = None  #: seconds; None: the setting
    hard_limit: float | None = None  #: seconds; None: the setting
    objective: objective.Objective | None = None  #: what its events are promised; None: nothing that is watched
    doc: str = ""  #: the function's docstring, shown with the type

    def bundle_at(self, pace: float | None) -> int:
        """How many events ride on one ticket at the most, if each takes ``pace`` seconds; None: nobody knows yet.

        So many that they are a twentieth of a second of work: a message costs little beside them, and no worker is
        held up for long while others are idle. A slow handler's events ride alone.
        """
        if self.bundle is not None:
            return self.bundle
        if pace is None:
            return UNKNOWN_BULK if self.bulk else 1
        return max(1, min(LARGEST_BUNDLE, int(BUNDLE_WORK / max(pace, 1e-6))))

    def limits(self, soft: float, hard: float) -> tuple[float, float]:
        """(soft, hard) limit in seconds; ``soft`` and ``hard`` are the settings'. The soft one is always the lower."""
        if self.hard_limit is not None:
            return self.soft_limit or min(soft, self.hard_limit * 2 / 3), self.hard_limit
        if self.soft_limit is not None:
            return self.soft_limit, max(hard, self.soft_limit * 3 / 2)
        return soft, hard


class Registry:
    """The handlers of this process, by event type."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add(self, handler: Handler) -> None:
        """Take a handler in; raises DeclarationError for a second one of the same type."""
        event.check_type(handler.type)
        known = self._handlers.get(handler.type)
        if known is not None and known.function is not handler.function:
            raise errors.DeclarationError(
                f"two handlers are declared for {handler.type}: {place(known)} and {place(handler)}"
            )
        self._handlers[handler.type] = handler

    def get(self, type_name: str) -> Handler:
        """The handler of a type; raises UnknownEventType."""
        try:
            return self._handlers[type_name]
        except KeyError:
            raise errors.UnknownEventType(f"no handler is declared for the event type {type_name!r}") from None

    def __iter__(self) -> Iterator[Handler]:
        return iter(sorted(self._handlers.values(), key=lambda h: h.type))

    def __contains__(self, type_name: object) -> bool:
        return type_name in self._handlers

    def __len__(self) -> int:
        return len(self._handlers)

    def queues(self) -> frozenset[str]:
        """The names of all queues that handlers ask for."""
        return frozenset(h.queue for h in self._handlers.values())


def place(handler: Handler) -> str:
    """Where a handler's function stands, for messages."""
    return f"{handler.function.__module__}.{handler.function.__qualname__}"


def example(registry: Iterable[Handler]) -> tuple[str, str] | None:
    """The first example that a handler's payload model gives in its JSON schema, with its event type."""
    for handler in registry:
        schema: dict[str, Any] = getattr(handler.payload, "model_json_schema", dict)()
        for payload in schema.get("examples", []):
            return handler.type, json.dumps(payload)
    return None
