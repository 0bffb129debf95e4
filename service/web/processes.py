"""The API of what is there: processes and queues."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import flask
import msgspec

from service.domain import processes, topology
from service.domain.access import Permission
from service.web import access, answer, gate, road, search

pages = flask.Blueprint("processes", __name__, url_prefix="/v1")


class List(msgspec.Struct, frozen=True):
    """Which processes."""

    kind: processes.Kind | None = None

    EXPECTED: ClassVar[dict[str, str]] = {"kind": f"one of {', '.join(processes.Kind)} is wanted"}


class Deploys(msgspec.Struct, frozen=True):
    """How far back to look."""

    days: Annotated[float, msgspec.Meta(gt=0, le=366)] = 30.0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50

    EXPECTED: ClassVar[dict[str, str]] = {"days": "a number of days is wanted, up to 366"}


class Nothing(msgspec.Struct, frozen=True):
    """A query without parameters."""


@pages.get("/processes")
@access.needs(Permission.READ)
def list_processes() -> answer.Json:
    """Webs, workers and clocks: which are alive, since when, and what they are at."""
    return _listed(search.read(flask.request.args, List).kind)


@pages.get("/workers")
@access.needs(Permission.READ)
def list_workers() -> answer.Json:
    """The workers among the processes."""
    search.read(flask.request.args, Nothing)
    return _listed(processes.Kind.WORKER)


@pages.get("/clocks")
@access.needs(Permission.READ)
def list_clocks() -> answer.Json:
    """The clocks among the processes, with what each has fired in the last hour."""
    search.read(flask.request.args, Nothing)
    here = road.current().operations
    with gate.reads():
        found = with_fired(here.processes.list(processes.Kind.CLOCK), here.figures.fired())
    return answer.Json({"processes": found})


@pages.get("/queues")
@access.needs(Permission.READ)
def list_queues() -> answer.Json:
    """The queues: what is due, out and overdue in each, what waits longest, and how many workers take from it."""
    search.read(flask.request.args, Nothing)
    here = road.current()
    named = {q.name for q in topology.queues(here.registry.queues())} - {topology.DEAD_QUEUE}
    with gate.reads():
        found = here.operations.lanes.queues(frozenset(named))
    return answer.Json({"queues": found})


@pages.get("/deploys")
@access.needs(Permission.READ)
def list_deploys() -> answer.Json:
    """When which kind of process came in another version, the latest first."""
    wanted = search.read(flask.request.args, Deploys)
    with gate.reads():
        found = road.current().operations.processes.deploys(seconds=wanted.days * 86_400, limit=wanted.limit)
    return answer.Json({"deploys": found})


def with_fired(clocks: list[dict[str, Any]], fired: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Clocks with what each has ``fired`` in the last hour: slots, and by how many seconds the latest was late."""
    nothing = {"slots": 0, "late": None}
    found = [(one, fired.get(f"{one['host']}:{one['pid']}", nothing)) for one in clocks]
    return [one | {"fired": {"slots": row["slots"], "late": row["late"]}} for one, row in found]


def _listed(kind: processes.Kind | None) -> answer.Json:
    with gate.reads():
        found: list[dict[str, Any]] = road.current().operations.processes.list(kind)
    return answer.Json({"processes": found})
