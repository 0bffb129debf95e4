"""Everything that asks the ledger, step by step: what the road does, what people and programs look at, what is watched.

A step is a name and a function that does it once. Each has its effects in the ledger; none makes it much larger.
"""

from __future__ import annotations

import datetime
import http
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from flask.testing import FlaskClient

from service import plans, web
from service.application.accept import Intake
from service.application.detached import Executor
from service.application.publish import Publisher
from service.application.unpublished import Unpublished
from service.bootstrap import doors
from service.domain import event, handlers, outcome, schedules
from service.domain import ticket as tickets
from service.ledger import balance, kept, queries, watching
from service.ledger import engine as engines
from service.ledger.declared import Declarations
from service.ledger.intake import IntakeLedger
from service.ledger.leases import LeaseLedger
from service.ledger.release import ReleaseLedger
from service.ledger.slots import SlotLedger
from service.ledger.upkeep import Upkeep
from service.ledger.work import WorkLedger
from service.settings import Settings

KEEP = 30 * 86_400.0
PAGES = (
    "/v1/events", "/v1/events?type=a.t3", "/v1/events?state=pending", "/v1/events?state=dead",
    "/v1/events?type=a.t3&state=succeeded", "/v1/types", "/v1/queues", "/v1/schedules", "/v1/schedules/s.7/slots",
    "/v1/overview", "/v1/dead", "/v1/dead?type=a.t0", "/v1/dead/groups", "/v1/strays", "/v1/processes", "/v1/pauses",
    "/console", "/console/live/overview", "/console/events", "/console/events?type=a.t3&state=succeeded",
    "/console/events?state=pending", "/console/events?state=dead", "/console/events?producer=shop", "/console/dead",
    "/console/dead?type=a.t0", "/console/live/dead", "/console/schedules", "/console/schedules/s.7", "/console/types",
    "/console/live/types", "/console/workers", "/console/audit", "/console/keys", "/console/strays",
)  # fmt: skip

ROAD, LOOKS, WATCH, WHOLE = "the road", "API and console", "clocks and metrics", "whole tables"


@dataclass(frozen=True)
class Step:
    """Something that asks the ledger."""

    group: str
    name: str
    once: Callable[[], object]


class _Silent:
    """A broker that takes everything."""

    def publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        return {ticket.id for ticket in batch}

    def tick(self) -> None: ...
    def drop(self) -> None: ...
    def ready(self, queue: str) -> int:
        return 0

    def resting(self) -> frozenset[str]:
        return frozenset()


class Road:
    """A road on one ledger: the product's own parts, joined without processes."""

    def __init__(self, address: str) -> None:
        self._engine = engines.Engine(address, size=4)
        self._work_engine = engines.Engine(address, size=2, pipelined=True)
        self._registry = handlers.Registry()
        self._keys = itertools.count()
        for number in range(20):
            self._registry.add(handlers.Handler(f"a.t{number}", _work, bundle=100))
        self._registry.add(handlers.Handler("a.detached", _work, queue="long", bundle=1, detached=True))
        intake = IntakeLedger(engines.Engine(address), patience=300.0, window=20_000, limit=60.0)
        self._publisher = Publisher(_Silent)
        self._intake = Intake(intake, self._publisher, self._registry, deadline=30.0, head_start=3600.0)
        work = WorkLedger(self._work_engine, worker="bench")
        leases = LeaseLedger(
            engines.Engine(address, size=2), self._work_engine, worker="bench", lease=120.0, grace=20.0
        )
        self._executor = Executor(work, self._registry, leases=leases, lease=120.0, limits=(20.0, 30.0))
        self._settings = Settings.model_construct(database_url=address)
        self._address = address

    def close(self) -> None:
        """End its threads and connections."""
        self._intake.close()
        for engine in (self._engine, self._work_engine):
            engine.dispose()

    def steps(self) -> Iterator[Step]:
        """All of them, in order."""
        yield from self._on_the_road()
        yield from self._looks()
        yield from self._watch()
        yield Step(WHOLE, "millrace doctor: the balance", lambda: balance.count(self._engine))

    def _on_the_road(self) -> Iterator[Step]:
        release = ReleaseLedger(self._engine, patience=300.0, window=20_000, forgetful=False)
        schedule = schedules.Schedule("bench.tick", "a.t1", plans.Interval(1.0))
        calendar = schedules.Calendar()
        calendar.add(schedule)
        declarations = Declarations(self._engine, calendar, clock="bench")
        declarations.declare()
        slots = SlotLedger(self._engine, declarations.calendar, clock="bench")

        def mark_out() -> None:
            due = release.take_due(10, 0.0)
            release.mark_out([(one.ticket.id, one.revision) for one in due])

        yield Step(ROAD, "accept one event", lambda: self._post("a.t1", 1))
        yield Step(ROAD, "accept one with an idempotency key", lambda: self._post("a.t1", 1, keyed=True))
        yield Step(ROAD, "accept 100 events", lambda: self._post("a.t2", 100))
        yield Step(ROAD, "accept and work one event", lambda: self._work("a.t3", 1))
        yield Step(ROAD, "accept and work 100 events", lambda: self._work("a.t4", 100))
        yield Step(ROAD, "accept one, fail", lambda: self._work("a.t5", 1, "retry"))
        yield Step(ROAD, "accept one, bury it", lambda: self._work("a.t6", 1, "discard"))
        yield Step(ROAD, "accept and work one, detached", lambda: self._work("a.detached", 1))
        yield Step(ROAD, "take what is due, mark it out", mark_out)
        yield Step(ROAD, "look for lost tickets", lambda: release.take_overdue("events", True, 10, 10.0))
        yield Step(ROAD, "look which queues have lost ones", release.overdue_queues)
        yield Step(ROAD, "fire schedules", lambda: slots.fire_due(250))
        yield Step(ROAD, "look when the next is due", lambda: slots.next_in(0.5))

    def _looks(self) -> Iterator[Step]:
        here = doors.door(self._settings, Unpublished(), head_start=3600.0)
        client = web.create_app(here).test_client()
        one = client.get("/v1/events?state=succeeded&limit=1").get_json()["events"][0]["id"]
        dead = client.get("/v1/events?state=dead&limit=1").get_json()["events"][0]["id"]
        old = client.get(f"/v1/events?until={_days_ago(20)}&limit=1").get_json()["events"][0]["id"]
        for path, shown in (
            (f"/v1/events/{one}", "/v1/events/<new>"),
            (f"/v1/events/{old}", "/v1/events/<old>"),
            (f"/v1/events/{dead}", "/v1/events/<dead>"),
            (f"/v1/events/{dead}/explain", "/v1/events/<dead>/explain"),
            (f"/console/events/{dead}", "/console/events/<dead>"),
            (f"/console/live/events?than={one}", "/console/live/events"),
            (f"/v1/events?since={_days_ago(10)}&until={_days_ago(9)}", "/v1/events of one day"),
            *((path, path) for path in PAGES),
        ):
            yield Step(LOOKS, shown, _reading(here, client, path))
        yield Step(LOOKS, "cancel, dry run", lambda: here.operations.control.count(queries.Filters(type="a.t7")))

    def _watch(self) -> Iterator[Step]:
        watch, upkeep = watching.LedgerWatch(self._engine), Upkeep(self._engine)
        yield Step(WATCH, "count tickets", watch.count_tickets)
        yield Step(WATCH, "what waits longest", watch.oldest_waiting)
        yield Step(
            WHOLE, "all tallies, once when a clock starts", lambda: watching.LedgerWatch(self._engine).read_tallies()
        )
        yield Step(WATCH, "new tallies", watch.read_tallies)
        yield Step(WATCH, "dead letters", watch.read_letters)
        yield Step(WATCH, "5,000 events and their tickets", watch.check_tickets)
        yield Step(WATCH, "partitions ahead", watch.partitions_ahead)
        yield Step(WATCH, "what is kept of the past", lambda: kept.look(self._engine, KEEP))
        yield Step(WATCH, "last success of 100 schedules", lambda: upkeep.last_success([f"s.{n}" for n in range(100)]))
        for name in ("count_windows", "measure_paces", "forget_keys", "forget_processes", "make_partitions"):
            yield Step(WATCH, name.replace("_", " "), _as_often_as_asked(self._engine, getattr(upkeep, name)))

    def _post(self, type_name: str, number: int, payload: str = "{}", *, keyed: bool = False) -> list[str]:
        key = f"bench-{next(self._keys)}" if keyed else None
        new = [event.NewEvent(type=type_name, payload=payload, key=key, fingerprint=key) for _ in range(number)]
        return [accepted.id for accepted in self._intake.submit(new)]

    def _work(self, type_name: str, number: int, do: str = "") -> None:
        found = self._post(type_name, number, json.dumps({"do": do}))
        rows = "select id::text, type, queue, event_ids::text[] from millrace.tickets where event_ids && %s::uuid[]"
        with self._engine.get().connect() as connection:
            for row in connection.exec_driver_sql(f"/* bench */ {rows}", (found,)).all():
                now = datetime.datetime.now(datetime.UTC)
                self._executor.execute(tickets.Delivery(row[0], row[1], row[2], tuple(row[3]), False, now))


def _work(payload: object, ctx: object) -> object:
    do = payload.get("do") if isinstance(payload, dict) else None
    if do == "retry":
        raise ValueError("asked for")
    return outcome.Discard("asked for") if do == "discard" else None


def _reading(here: doors.WebRoad, client: FlaskClient, path: str) -> Callable[[], None]:
    def once() -> None:
        here.operations.figures.forget()
        answer = client.get(path)
        if answer.status_code == http.HTTPStatus.INTERNAL_SERVER_ERROR:  # Something took too long: once more.
            answer = client.get(path)
        if answer.status_code not in (200, 286):
            raise ValueError(f"{path}: {answer.status_code} {answer.text[:200]}")

    return once


def _as_often_as_asked(engine: engines.Engine, duty: Callable[[], None]) -> Callable[[], None]:
    def once() -> None:
        with engine.get().begin() as connection:
            connection.exec_driver_sql("/* bench */ update millrace.duties set done_at = '-infinity'")
        duty()

    return once


def _days_ago(days: int) -> str:
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
