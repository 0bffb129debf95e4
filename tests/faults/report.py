"""What `make faults` adds to pytest: it keeps to faults, and writes down what came of them.

A plugin (``-p tests.faults.report --reliability docs/reliability.md``). What a test measured travels in its own report
(``record_property``), so it arrives from the processes of pytest-xdist as well.
"""

from __future__ import annotations

import pathlib
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

from tests.faults.catalogue import FAULTS, UNCOVERED, Fault
from tests.patience import PATIENCE

FOLDER = pathlib.Path(__file__).parent
HEAD = """\
# Reliability

Written by `make faults`; not to be edited. The faults of [the catalogue](../tests/faults/catalogue.py) are made on real
processes and real servers, most of them while clients post numbered events and keep a record of what they were told.
Then nothing that was accepted may be lost, no effect may have happened twice, and `millrace doctor` must find nothing
wrong.

*Lost* and *doubled* are counts of events; *recovery* is the longest time in seconds from the end of the fault until a
fresh event was accepted and worked. A dash: the tests of this fault assert what must hold, and measure nothing.

"""


class Results:
    """The reports of one run, by fault."""

    def __init__(self) -> None:
        self._reports: dict[str, list[pytest.TestReport]] = defaultdict(list)

    def add(self, report: pytest.TestReport) -> None:
        """Of any phase of any test."""
        self._reports[report.nodeid].append(report)

    def page(self, commit: str) -> str:
        """The whole of docs/reliability.md."""
        about = [_faults(reports) for reports in self._reports.values()]
        covered = set().union(*about)
        number = sum(map(bool, about))
        tests = f"{len(covered)} of {len(FAULTS)} faults, made by {number} tests on commit `{commit}`.{_patience()}\n"
        return HEAD + tests + "\n" + "\n".join(self._table(covered)) + "\n" + "\n".join(_missing(covered)) + "\n"

    def _table(self, covered: set[int]) -> Iterator[str]:
        yield "| # | Fault | Promises | Tests | Outcome | Lost | Doubled | Recovery |"
        yield "|--:|---|---|--:|---|--:|--:|--:|"
        for number in sorted(covered):
            fault = FAULTS[number]
            tests = [reports for reports in self._reports.values() if number in _faults(reports)]
            cells = [fault.name, fault.promises, len(tests), _outcome(tests)]
            cells += [_worst(tests, *column) for column in (("lost", ".0f"), ("doubled", ".0f"), ("recovery", ".1f"))]
            yield f"| {number} | " + " | ".join(map(str, cells)) + " |"


def _patience() -> str:
    """On a machine that others use, too, seconds are not what they are elsewhere; the page does not hide it."""
    return f" Deadlines, the promised ones too, were {PATIENCE:g} times as long." if PATIENCE != 1 else ""


def _faults(reports: Iterable[pytest.TestReport]) -> set[int]:
    return {int(value) for report in reports for name, value in report.user_properties if name == "fault"}


def _outcome(tests: list[list[pytest.TestReport]]) -> str:
    failed = sum(any(r.failed for r in reports) for reports in tests)
    skipped = sum(any(r.skipped for r in reports) for reports in tests)
    words = [f"{n} {word}" for n, word in ((failed, "**failed**"), (skipped, "skipped")) if n]
    return ", ".join(words) or "passed"


def _worst(tests: list[list[pytest.TestReport]], name: str, form: str) -> str:
    values = [float(str(v)) for reports in tests for r in reports for key, v in r.user_properties if key == name]
    return format(max(values), form) if values else "—"


def _missing(covered: set[int]) -> Iterator[str]:
    missing: list[Fault] = [fault for number, fault in FAULTS.items() if number not in covered]
    if missing:
        yield "\n## Not covered\n"
    for fault in missing:
        yield f"- {fault.number}, {fault.name}: {UNCOVERED.get(fault.number, 'no test yet')}"


def commit() -> str:
    """What is checked out, with a plus where it was changed."""
    words = ["git", "describe", "--always", "--dirty=+"]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to write to, and what to leave to other runs."""
    parser.addoption("--reliability", metavar="FILE", type=pathlib.Path, help="write the table of faults to this file")
    parser.addoption("--share", metavar="N/OF", type=_share, default=(1, 1), help="keep to the Nth of so many parts")


def _share(text: str) -> tuple[int, int]:
    number, of = map(int, text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number, of


def pytest_configure(config: pytest.Config) -> None:
    """Collect in the process that hears of all reports."""
    if not hasattr(config, "workerinput") and config.getoption("reliability"):
        config.pluginmanager.register(Writer(config.getoption("reliability")), "millrace-reliability")


@pytest.hookimpl(trylast=True)  # After -m and -k, so that shares are dealt of what is left.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep to the faults, wherever their tests are, and have each report say which it is about."""
    ours = [item for item in items if FOLDER in item.path.parents or item.get_closest_marker("fault")]
    number, of = config.getoption("share")
    # A file or a class stays whole: its tests share servers.
    scopes = list(dict.fromkeys(_scope(item) for item in ours))[number - 1 :: of]
    ours = [item for item in ours if _scope(item) in scopes]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours
    for item in items:
        item.user_properties += [("fault", n) for mark in item.iter_markers("fault") for n in mark.args]


def _scope(item: pytest.Item) -> str:
    return item.nodeid.rpartition("::")[0]


class Writer:
    """Writes the page at the end of the run."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._commit = commit()  # Before this run writes anything.
        self._results = Results()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for each phase of each test, with xdist too."""
        self._results.add(report)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """A run that was cut short writes nothing."""
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._path.write_text(self._results.page(self._commit))
