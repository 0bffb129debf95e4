"""The page of `make faults` says what the reports of a run say."""

from __future__ import annotations

import pathlib
import re
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import report as plugin
from tests.faults.catalogue import FAULTS, UNCOVERED
from tests.faults.report import Results

TESTS = pathlib.Path(__file__).parent.parent


def report(test: str, outcome: str = "passed", when: str = "call", **properties: object) -> pytest.TestReport:
    return pytest.TestReport(test, ("file", 1, test), {}, outcome, None, when, user_properties=list(properties.items()))


def row(page: str, number: int) -> list[str]:
    """The cells of a fault: number, name, promises, tests, outcome, lost, doubled, recovery."""
    [found] = re.findall(rf"^\| {number} \|.*", page, re.MULTILINE)
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_fault_shows_the_worst_of_its_tests() -> None:
    results = Results()
    results.add(report("a", fault=8, lost=0, doubled=0, recovery=1.5))
    results.add(report("b", fault=8, lost=2, doubled=0, recovery=0.5))
    assert row(results.page("abc"), 8)[3:] == ["2", "passed", "2", "0", "1.5"]


def test_what_was_not_measured_is_no_zero() -> None:
    results = Results()
    results.add(report("a", fault=33))
    assert row(results.page("abc"), 33)[3:] == ["1", "passed", "—", "—", "—"]


def test_a_test_that_fails_in_any_phase_or_is_skipped_is_told() -> None:
    results = Results()
    for when, outcome in (("setup", "passed"), ("call", "passed"), ("teardown", "failed")):
        results.add(report("a", outcome, when, fault=8))
    results.add(report("b", "skipped", "setup", fault=8))
    assert row(results.page("abc"), 8)[4] == "1 **failed**, 1 skipped"


def test_a_fault_that_was_not_made_is_named_with_the_reason() -> None:
    results = Results()
    results.add(report("a", fault=8))
    page = results.page("abc")
    for number, fault in FAULTS.items():
        assert (f"- {number}, {fault.name}: " in page) == (number != 8)
    assert all(reason in page for reason in UNCOVERED.values())


def test_the_page_names_its_commit() -> None:
    assert "`abc`" in Results().page("abc")


def test_a_run_with_failures_is_written_and_one_that_was_cut_short_is_not(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "reliability.md"
    writer = plugin.Writer(page)
    writer.pytest_runtest_logreport(report("a", fault=8))
    writer.pytest_runtest_logreport(report("b", "failed", fault=8))
    writer.pytest_sessionfinish(pytest.ExitCode.INTERRUPTED)
    assert not page.exists()
    writer.pytest_sessionfinish(pytest.ExitCode.TESTS_FAILED)
    assert row(page.read_text(), 8)[3:5] == ["2", "1 **failed**"]


def test_every_mark_names_a_fault_of_the_catalogue() -> None:
    marks = {int(n) for path in TESTS.rglob("test_*.py") for n in re.findall(r"mark\.fault\((\d+)\)", path.read_text())}
    assert marks <= FAULTS.keys()
    assert not marks & UNCOVERED.keys()


@pytest.mark.parametrize(
    ("path", "marks", "is_kept"),
    [
        ("tests/faults/test_clocks.py", [], True),
        ("tests/integration/test_lane.py", [], False),
        ("tests/integration/test_lane.py", ["fault"], True),
        ("tests/integration/test_lane.py", ["heavy"], False),
    ],
)
def test_a_fault_is_made_wherever_its_test_stands(path: str, marks: list[str], is_kept: bool) -> None:
    item = Item(f"{path}::test_it", [getattr(pytest.mark, name)(1).mark for name in marks])
    assert kept([item], (1, 1)) == [item] * is_kept


def test_shares_are_all_of_it_and_part_no_class() -> None:
    names = [f"tests/faults/test_{file}.py::Test{n}::test_{k}" for file in "abc" for n in range(3) for k in range(2)]
    shares = [[item.nodeid for item in kept([Item(name, []) for name in names], (n, 2))] for n in (1, 2)]
    assert sorted(shares[0] + shares[1]) == sorted(names)
    assert [len(share) for share in shares] == [10, 8]
    classes = [{name.rpartition("::")[0] for name in share} for share in shares]
    assert not classes[0] & classes[1]


def test_what_takes_long_and_is_no_fault_is_left_to_make_heavy() -> None:
    """What `make test` leaves out is run by the one or by the other."""
    targets = (TESTS.parent / "Makefile").read_text()
    assert "-m 'not heavy'" in targets
    assert "-m 'heavy and not fault' --ignore=tests/faults" in targets


def kept(items: list[Any], share: tuple[int, int]) -> list[Any]:
    """What the plugin leaves of a collection."""
    hook = SimpleNamespace(pytest_deselected=lambda items: None)
    config: Any = SimpleNamespace(hook=hook, getoption={"share": share}.get)
    plugin.pytest_collection_modifyitems(config, items)
    return items


class Item(SimpleNamespace):
    """As much of a test as the plugin looks at."""

    def __init__(self, nodeid: str, marks: list[pytest.Mark]) -> None:
        path = TESTS.parent / nodeid.partition("::")[0]
        super().__init__(nodeid=nodeid, path=path, marks=marks, user_properties=[])

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [mark for mark in self.marks if mark.name == name]

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return next(iter(self.iter_markers(name)), None)
