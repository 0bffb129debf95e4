"""Who takes part, and with which commands.

Commands and settings may name ``{port}``, ``{database_url}`` and ``{broker_url}``; every round
fills them in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.errors import BenchError

Command = tuple[str, ...]


@dataclass(frozen=True)
class Contestant:
    """One system under measurement."""

    #: How it is named on the command line and in every table.
    name: str
    #: One line that says what it is.
    title: str
    #: Where an order is posted.
    path: str
    #: The web server; it listens on ``{port}``.
    web: Command
    #: Every other process: workers, and Millrace's clock. Their CPU counts as the worker's.
    workers: tuple[Command, ...]
    #: Environment variables of all its processes.
    settings: Mapping[str, str]
    #: Commands that run once before the processes start.
    prepare: tuple[Command, ...] = ()
    #: A peer runs from the peers' virtual environment, Millrace from the one of this process.
    peer: bool = False


def _millrace(name: str, title: str, event_type: str) -> Contestant:
    return Contestant(
        name=name,
        title=title,
        path=f"/v1/events/{event_type}",
        prepare=(("millrace", "migrate"), ("millrace", "topology", "apply")),
        web=("millrace", "web"),
        workers=(
            ("celery", "-A", "workers", "worker", "-Q", "events,periodic", "-c", "2", "-l", "WARNING"),
            ("celery", "-A", "schedules", "beat", "-l", "WARNING"),
        ),
        settings={
            "MILLRACE_APPS": "bench.workload",
            "MILLRACE_DATABASE_URL": "{database_url}",
            "MILLRACE_BROKER_URL": "{broker_url}",
            "MILLRACE_HTTP": "127.0.0.1:{port}",
            "MILLRACE_LOG_LEVEL": "warning",
        },
    )


_PEER_SETTINGS = {"BENCH_DATABASE_URL": "{database_url}", "BENCH_BROKER_URL": "{broker_url}"}

MILLRACE = _millrace("millrace", "Millrace, a bulk handler: one insert per bundle", "bench.bulk")

MILLRACE_ORDINARY = _millrace(
    "millrace-ordinary",
    "Millrace, an ordinary handler: one SQLAlchemy insert per event",
    "bench.ordinary",
)

P2T = Contestant(
    name="p2t",
    title="Flask and Celery, hardened against loss and tuned for speed",
    path="/orders",
    web=(
        *("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}"),
        *("--workers", "2", "--blocking-threads", "16", "--no-ws", "--log-level", "error"),
        "bench.peers.p2t.app:app",
    ),
    workers=(
        (
            *("celery", "-A", "bench.peers.p2t.app:celery", "worker", "-c", "4", "-l", "WARNING"),
            *("--without-gossip", "--without-mingle"),
        ),
    ),
    settings=_PEER_SETTINGS,
    peer=True,
)

P4 = Contestant(
    name="p4",
    title="FastAPI and taskiq, asynchronous from end to end",
    path="/orders",
    web=(
        *("uvicorn", "bench.peers.p4.app:app", "--host", "127.0.0.1", "--port", "{port}"),
        *("--workers", "2", "--log-level", "error", "--no-access-log"),
    ),
    workers=(
        (
            *("taskiq", "worker", "bench.peers.p4.app:broker", "--workers", "2"),
            *("--max-async-tasks", "64", "--log-level", "WARNING"),
        ),
    ),
    settings=_PEER_SETTINGS,
    peer=True,
)

ALL = (MILLRACE, MILLRACE_ORDINARY, P2T, P4)


def named(names: Iterable[str]) -> list[Contestant]:
    """The contestants with these names, in the order of the catalogue."""
    wanted = set(names)
    unknown = wanted - {contestant.name for contestant in ALL}
    if unknown:
        known = ", ".join(contestant.name for contestant in ALL)
        raise BenchError(f"no contestant is named {', '.join(sorted(unknown))}; known are {known}")
    return [contestant for contestant in ALL if contestant.name in wanted]
