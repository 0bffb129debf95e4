"""No code on the road asks the wall clock of its host: the ledger's time is the only time."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

from tests.repository.pages import ROOT

#: What tells the time of day, by its full name.
TELLERS = (
    *(f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime")),
    *(f"time.{name}" for name in ("clock_gettime", "clock_gettime_ns")),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
    *(f"email.utils.{name}" for name in ("formatdate", "localtime", "make_msgid")),
    *("werkzeug.http.http_date", "wsgiref.handlers.format_date_time"),
    *("uuid.uuid1", "uuid.uuid6", "uuid.uuid7"),
    "structlog.processors.TimeStamper",
)
#: Whose attributes nobody may take by a name that is worked out: what is asked for would not be seen.
OWNERS = {"time", "datetime", *(teller.rpartition(".")[0] for teller in TELLERS)}
#: Which lines may, and why.
ALLOWED = {
    "service/client/spool.py": {
        'more["run_at"] = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=delay)': (
            "a producer's delay begins when it is put on disk, on the producer's own host"
        ),
    },
    "service/telemetry/canary.py": {
        "now: Callable[[], float] = time.time,": "it looks from outside, as a producer does, and fires nothing",
    },
    "service/telemetry/instruments.py": {
        'shown = samples.Exemplar({"trace_id": trace[1]}, longest, time.time())': (
            "an exemplar says when it was seen, to Prometheus"
        ),
    },
    "service/telemetry/metrics.py": dict.fromkeys(
        (
            'self._to.set("millrace_duty_last_success_timestamp_seconds", time.time(), duty=duty)',
            'self._to.set("millrace_worker_last_progress_timestamp_seconds", time.time())',
        ),
        "timestamps are for Prometheus, which compares them with its own time",
    ),
    "service/verbs/preview.py": {
        "begin = after or datetime.datetime.now(datetime.UTC)": "nothing is fired by a list that begins today",
    },
    "service/web/console/words.py": {
        "return datetime.datetime.now(datetime.UTC)": "a page says what is today, and how long it is until then",
    },
    "service/web/tokens.py": dict.fromkeys(
        (
            "_check_claims(claims, issuer.url, audiences, time.time())",
            'left = min(BELIEVED, claims["exp"] - time.time())',
        ),
        "an issuer with a clock of its own says until when a token is good",
    ),
    "workers/http/client.py": {
        "return int(time.time())": "a signature tells another host, with a clock of its own, when it was made",
    },
}


class Names(ast.NodeVisitor):
    """What the names of a module stand for, whatever they were imported or assigned as."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self._known[alias.asname or top] = alias.name if alias.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._known[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        full = self.of(node.value)
        for target in node.targets:
            if full and isinstance(target, ast.Name) and target.id not in self._known:
                self._known[target.id] = full

    def of(self, node: ast.AST) -> str:
        """The full name of an expression like ``a.b.c``; nothing for any other one."""
        if isinstance(node, ast.Name):
            return self._known.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (owner := self.of(node.value)):
            return f"{owner}.{node.attr}"
        return ""


def asked(code: str) -> Iterator[int]:
    """The lines of this code that ask the wall clock, or name what would tell the time."""
    tree, names = ast.parse(code), Names()
    names.visit(tree)
    for node in ast.walk(tree):
        found = [names.of(node)] if isinstance(node, ast.Attribute | ast.Name) else []
        if isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        if isinstance(node, ast.Call) and names.of(node.func) == "getattr" and names.of(node.args[0]) in OWNERS:
            yield node.lineno
        for full in found:
            owner, _, name = full.rpartition(".")
            if any(f".{full}".endswith(f".{teller}") for teller in TELLERS) or (name == "*" and owner in OWNERS):
                yield node.lineno


def lines(path: pathlib.Path) -> set[str]:
    """What stands in the lines of a file that ask."""
    code = path.read_text()
    return {code.splitlines()[number - 1].strip() for number in asked(code)}


def files() -> list[pathlib.Path]:
    return sorted(p for folder in ("service", "workers", "schedules") for p in (ROOT / folder).rglob("*.py"))


def test_nobody_asks_the_wall_clock() -> None:
    assert len(files()) > 100
    found = {str(p.relative_to(ROOT)): lines(p) for p in files()}
    asking = {path: those - ALLOWED.get(path, {}).keys() for path, those in found.items()}
    assert {path: those for path, those in asking.items() if those} == {}
    assert [(path, line) for path in ALLOWED for line in ALLOWED[path] if line not in found[path]] == [], (
        "no more there"
    )


@pytest.mark.parametrize(
    "code",
    [
        "import time\nx = time.time()", "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import datetime\ndatetime.utcnow()", "from time import time\ntime()",
        "import time\nf(time.time)",
        "import datetime\nclass A:\n    at = field(default_factory=datetime.datetime.now)", "datetime.date.today()",
        "import time as t\nt.time()", "from datetime import datetime as dt\ndt.now()", "from time import time_ns as x",
        "import datetime as d\nd.date.today()", "import email.utils\nemail.utils.formatdate(usegmt=True)",
        "from email import utils\nutils.localtime()", "from email.utils import formatdate as f\nf()",
        "import datetime\nclock = datetime.datetime\nclock.now()", "from time import *",
        "import time\ngetattr(time, x)()", "from service.web import words\nwords.datetime.datetime.now()",
    ],
)  # fmt: skip
def test_it_would_be_found(code: str) -> None:
    assert list(asked(code))


@pytest.mark.parametrize(
    "code",
    [
        "time.monotonic()", "slots.now()", "datetime.datetime.fromtimestamp(1)", "self.now()",
        "import time as t\nt.sleep(1)", "from email.utils import parsedate_to_datetime", "runtime.time()",
    ],
)  # fmt: skip
def test_what_only_measures_or_is_told_the_time_is_not(code: str) -> None:
    assert not list(asked(code))
