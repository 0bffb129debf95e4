"""How a handler is declared."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import pydantic

from service import plugins
from service.application.context import Context
from service.domain import errors, topology
from service.domain.backoff import Backoff
from service.domain.handlers import Handler
from service.domain.objective import Objective
from service.ledger import engine as engines

Function = TypeVar("Function", bound=Callable[..., Any])

BUNDLE = range(1, 1001)
ATTEMPTS = range(1, 1001)


def handler(
    type: str,
    *,
    payload: Any = None,
    queue: str = topology.EVENTS_QUEUE,
    bundle: int | Literal["auto"] = "auto",
    bulk: bool = False,
    detached: bool = False,
    attempts: int = 5,
    no_retry: type[Exception] | tuple[type[Exception], ...] = (),
    backoff: Backoff | None = None,
    soft_limit: float | None = None,
    hard_limit: float | None = None,
    objective: Objective | None = None,
) -> Callable[[Function], Function]:
    """Declare the handler of an event type.

    The function gets the payload and a ``Context``: ``def work(payload, ctx)``; a bulk handler gets a list of events
    and a ``Context``: ``def work(events, ctx)``. What it returns (JSON, or None) is the event's result; its work in
    ``ctx.session`` is committed together with it. It may also return or raise ``Retry``, ``Discard`` or ``Snooze``.

    ``payload``: a pydantic model (or any type that pydantic knows) that the payload is parsed to, at the door too.
    ``queue``: the queue for this type's tickets; workers take it with ``-Q``.
    ``bundle``: how many events ride on one ticket at the most, 1 to 1000; by default so many, up to 100, as are a
    twentieth of a second of work, which is measured.
    ``detached``: for minutes or hours of work, or effects outside the ledger's database: it runs outside the road's
    transaction, under a lease, at least once. It needs a ``queue`` of its own, and has no bundle.
    ``attempts``: how often it is tried before the event is a dead letter, 1 to 1000.
    ``no_retry``: errors (classes, with their subclasses) after which it is a dead letter at once.
    ``backoff``: between attempts; the default is 5 s, doubling, with full jitter, up to an hour.
    ``soft_limit``, ``hard_limit``: seconds for one ticket, instead of the settings; a detached one has none but these.
    ``objective``: what its events are promised, as ``Objective(start="5s", p=0.99, success=0.999)``; alerts are
    generated from it (docs/monitoring.md).

    Raises DeclarationError for a bad name, a second handler of a type, or a wrong number.
    """
    if detached:
        bundle = _bundle_of_detached(type, queue, bundle, bulk)
    if bundle != "auto" and bundle not in BUNDLE:
        raise errors.DeclarationError(f"{type}: bundle={bundle!r} must be 'auto', or from 1 to 1000")
    if attempts not in ATTEMPTS:
        raise errors.DeclarationError(f"{type}: attempts={attempts!r} must be from 1 to 1000")
    not_retried: tuple[Any, ...] = no_retry if isinstance(no_retry, tuple) else (no_retry,)
    for found in not_retried:
        if not (inspect.isclass(found) and issubclass(found, Exception)):
            raise errors.DeclarationError(f"{type}: no_retry={found!r} must be a class of exceptions")
    for name, limit in {"soft_limit": soft_limit, "hard_limit": hard_limit}.items():
        if limit is not None and not 0 < limit < math.inf:
            raise errors.DeclarationError(f"{type}: {name}={limit!r} must be a number of seconds above 0")
    if soft_limit is not None and hard_limit is not None and soft_limit >= hard_limit:
        raise errors.DeclarationError(f"{type}: soft_limit={soft_limit!r} must be below hard_limit={hard_limit!r}")

    try:
        topology.check_queue(queue)
    except errors.DeclarationError as error:
        raise errors.DeclarationError(f"{type}: {error}") from None

    def declare(function: Function) -> Function:
        plugins.registry.add(
            Handler(
                type=type,
                function=_two_arguments(type, function),
                payload=payload,
                parse=None if payload is None else parser(payload),
                queue=queue,
                bundle=None if bundle == "auto" else bundle,
                bulk=bulk,
                detached=detached,
                attempts=attempts,
                no_retry=not_retried,
                backoff=backoff or Backoff(),
                soft_limit=soft_limit,
                hard_limit=hard_limit,
                objective=objective,
                doc=inspect.getdoc(function) or "",
            )
        )
        return function

    return declare


def _bundle_of_detached(type_name: str, queue: str, bundle: int | str, bulk: bool) -> Literal[1]:
    if queue == topology.EVENTS_QUEUE:
        raise errors.DeclarationError(
            f"{type_name}: a detached handler needs a queue of its own, or its long runs stand in the way of all the"
            " others: name one, like queue='reports', and start a worker with `-Q reports`"
        )
    if bulk or bundle not in ("auto", 1):
        raise errors.DeclarationError(f"{type_name}: a detached handler works one event at a time: no bulk, no bundle")
    return 1


def parser(model: Any) -> Callable[[Any], Any]:
    """A function that parses a payload to ``model``, or raises InvalidEvent with a fault per field.

    ModelFailed, an InvalidEvent too, is raised for an error of the model's own code; a fault of the infrastructure that
    it met is let through.
    """
    adapter = pydantic.TypeAdapter(model)

    def parse(payload: Any) -> Any:
        try:
            # Looked up each time: of a model whose parts are defined later there is none yet.
            return adapter.validator.validate_python(payload)
        except pydantic.ValidationError as error:
            raise errors.InvalidEvent([_fault(f) for f in error.errors(include_url=False)]) from None
        except errors.InvalidEvent:
            raise
        except Exception as error:
            if engines.is_infrastructure(error):
                raise
            raise errors.ModelFailed(error) from error

    return parse


def _fault(found: Any) -> errors.Fault:
    return errors.Fault(pointer(found["loc"]), found["msg"].removeprefix("Value error, "))


def pointer(path: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _two_arguments(type_name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is called: with payload and context. One that wants no context is not given it."""
    if inspect.iscoroutinefunction(function):
        raise errors.DeclarationError(f"{type_name}: a handler is an ordinary function, not `async def`")
    wanted = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if len(wanted) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in wanted):
        return function
    if len(wanted) == 1:

        def without_context(payload: Any, ctx: Context) -> Any:
            return function(payload)

        without_context.__module__, without_context.__qualname__ = function.__module__, function.__qualname__
        return without_context
    raise errors.DeclarationError(f"{type_name}: the handler must take the payload, and may take a context")
