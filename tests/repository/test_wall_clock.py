"""No code on the road asks the wall clock of its host: the ledger's time is the only time."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

from tests.repository.pages import ROOT

#: What tells the time of day, by module or class.
TELLERS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime", "clock_gettime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "uuid": {"uuid1"},
    "structlog": {"TimeStamper"},
    "processors": {"TimeStamper"},
}
#: Who may, and why.
ALLOWED = {
    "service/client/spool.py": "a producer's delay begins when it is put on disk, on the producer's own host",
    "service/telemetry/canary.py": "it looks from outside, as a producer does, and fires nothing",
    "service/telemetry/instruments.py": "an exemplar says when it was seen, to Prometheus",
    "service/telemetry/metrics.py": "timestamps are for Prometheus, which compares them with its own time",
    "service/verbs/preview.py": "nothing is fired by a list that begins today",
    "service/web/console/words.py": "a page says what is today, and how long it is until then",
    "service/web/tokens.py": "an issuer with a clock of its own says until when a token is good",
    "workers/http/client.py": "a signature tells another host, with a clock of its own, when it was made",
}


def asked(code: str) -> Iterator[str]:
    """Whatever in this code asks the wall clock, called or only named."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            if node.attr in TELLERS.get(name, ()):
                yield f"line {node.lineno}: {name}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in TELLERS.get(node.module or "", ()):
                    yield f"line {node.lineno}: from {node.module} import {alias.name}"


def files() -> list[pathlib.Path]:
    return sorted(p for folder in ("service", "workers", "schedules") for p in (ROOT / folder).rglob("*.py"))


def test_nobody_asks_the_wall_clock() -> None:
    assert len(files()) > 100
    found = {str(p.relative_to(ROOT)): list(asked(p.read_text())) for p in files()}
    assert {path: lines for path, lines in found.items() if lines and path not in ALLOWED} == {}
    assert [path for path in ALLOWED if not found[path]] == [], "it need not be allowed any more"


@pytest.mark.parametrize(
    "code",
    [
        "import time\nx = time.time()", "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import datetime\ndatetime.utcnow()", "from time import time\ntime()",
        "import time\nf(time.time)",
        "import datetime\nclass A:\n    at = field(default_factory=datetime.datetime.now)", "datetime.date.today()",
    ],
)  # fmt: skip
def test_it_would_be_found(code: str) -> None:
    assert list(asked(code))


@pytest.mark.parametrize(
    "code", ["time.monotonic()", "slots.now()", "datetime.datetime.fromtimestamp(1)", "self.now()"]
)
def test_what_only_measures_or_is_told_the_time_is_not(code: str) -> None:
    assert not list(asked(code))
