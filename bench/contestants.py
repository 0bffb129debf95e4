"""Who takes part, and with which commands."""

from __future__ import annotations

from collections.abc import Iterable

from bench.contestant import Contestant, Scale
from bench.errors import BenchError
from bench.work import TYPES

#: Threads of each web process of the peers that have threads: 2 processes take 32 connections.
_GRANIAN = ("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}", "--workers", "{web}")
_GRANIAN_QUIET = ("--blocking-threads", "16", "--no-ws", "--log-level", "error")
_GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "{web}", "--worker-class", "gthread")
_GUNICORN_QUIET = ("--threads", "16", "--keep-alive", "60", "--log-level", "error")
_UVICORN = ("--host", "127.0.0.1", "--port", "{port}", "--workers", "{web}", "--log-level", "error", "--no-access-log")

_PEER_SETTINGS = {"BENCH_DATABASE_URL": "{database_url}", "BENCH_BROKER_URL": "{broker_url}"}


def _millrace(name: str, title: str, event_type: str) -> Contestant:
    return Contestant(
        name=name,
        title=title,
        path=f"/v1/events/{event_type}",
        batch_path="/v1/events",
        form="lines",
        event_type=event_type,
        types=TYPES,
        prepare=(("millrace", "migrate"), ("millrace", "topology", "apply")),
        web=("millrace", "web"),
        worker=("celery", "-A", "workers", "worker", "-Q", "events,periodic", "-c", "{children}", "-l", "WARNING"),
        beside=(("celery", "-A", "schedules", "beat", "-l", "WARNING"),),
        scale=Scale(web=1, children=2),
        settings={
            "MILLRACE_APPS": "bench.workload",
            "MILLRACE_DATABASE_URL": "{database_url}",
            "MILLRACE_BROKER_URL": "{broker_url}",
            "MILLRACE_HTTP": "127.0.0.1:{port}",
            "MILLRACE_WEB_PROCESSES": "{web}",
            "MILLRACE_LOG_LEVEL": "warning",
        },
        packages=("celery", "kombu", "Flask", "granian", "SQLAlchemy", "psycopg2-binary"),
    )


MILLRACE = _millrace("millrace", "Millrace, a bulk handler: one insert per bundle", "bench.bulk")

MILLRACE_ORDINARY = _millrace(
    "millrace-ordinary",
    "Millrace, an ordinary handler: one SQLAlchemy insert per event",
    "bench.ordinary",
)

P1 = Contestant(
    name="p1",
    title="Flask and Celery with their defaults; loses what a crash catches",
    path="/orders",
    web=(*_GUNICORN, *_GUNICORN_QUIET, "bench.peers.p1.app:app"),
    worker=("celery", "-A", "bench.peers.p1.app:celery", "worker", "-c", "{children}", "-l", "WARNING"),
    scale=Scale(web=2, children=2),
    settings=_PEER_SETTINGS,
    peer=True,
    packages=("celery", "Flask", "gunicorn", "SQLAlchemy", "psycopg2-binary"),
)

P2T = Contestant(
    name="p2t",
    title="Flask and Celery, hardened against loss and tuned for speed",
    path="/orders",
    web=(*_GRANIAN, *_GRANIAN_QUIET, "bench.peers.p2t.app:app"),
    worker=(
        *("celery", "-A", "bench.peers.p2t.app:celery", "worker", "-c", "{children}", "-l", "WARNING"),
        *("--without-gossip", "--without-mingle"),
    ),
    scale=Scale(web=2, children=4),
    settings=_PEER_SETTINGS,
    peer=True,
    packages=("celery", "Flask", "granian", "SQLAlchemy", "psycopg2-binary"),
)

P3 = Contestant(
    name="p3",
    title="Flask and Dramatiq, deliveries confirmed",
    path="/orders",
    web=(*_GUNICORN, *_GUNICORN_QUIET, "bench.peers.p3.app:app"),
    worker=("dramatiq", "bench.peers.p3.app", "--processes", "{children}", "--threads", "8"),
    scale=Scale(web=2, children=2),
    settings=_PEER_SETTINGS,
    peer=True,
    packages=("dramatiq", "pika", "Flask", "gunicorn", "SQLAlchemy", "psycopg2-binary"),
)

P4 = Contestant(
    name="p4",
    title="FastAPI and taskiq, asynchronous from end to end",
    path="/orders",
    web=("uvicorn", "bench.peers.p4.app:app", *_UVICORN),
    worker=(
        *("taskiq", "worker", "bench.peers.p4.app:broker", "--workers", "{children}"),
        *("--max-async-tasks", "64", "--log-level", "WARNING"),
    ),
    scale=Scale(web=2, children=2),
    settings=_PEER_SETTINGS,
    peer=True,
    packages=("fastapi", "uvicorn", "uvloop", "taskiq", "taskiq-aio-pika", "asyncpg"),
)

P5 = Contestant(
    name="p5",
    title="FastAPI and Procrastinate: PostgreSQL is the queue",
    path="/orders",
    prepare=(("procrastinate", "--app", "bench.peers.p5.app.queue", "schema", "--apply"),),
    web=("uvicorn", "bench.peers.p5.app:app", *_UVICORN),
    worker=(
        *("procrastinate", "--log-level", "warning", "--app", "bench.peers.p5.app.queue"),
        *("worker", "--concurrency", "{children}"),
    ),
    scale=Scale(web=2, children=16),
    settings=_PEER_SETTINGS,
    peer=True,
    packages=("fastapi", "uvicorn", "uvloop", "procrastinate", "psycopg"),
)

ALL = (MILLRACE, MILLRACE_ORDINARY, P1, P2T, P3, P4, P5)


def named(names: Iterable[str]) -> list[Contestant]:
    """The contestants with these names, in the order of the catalogue."""
    wanted = set(names)
    unknown = wanted - {contestant.name for contestant in ALL}
    if unknown:
        known = ", ".join(contestant.name for contestant in ALL)
        raise BenchError(f"no contestant is named {', '.join(sorted(unknown))}; known are {known}")
    return [contestant for contestant in ALL if contestant.name in wanted]
