"""The table of states, its picture and the ledger's SQL say the same."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

from service import ledger
from service.domain.states import TRANSITIONS, State
from tests.repository import pages

TABLE = {(source.value, target.value) for source, targets in TRANSITIONS.items() for target in targets}
#: No way at all: a replay notes on the dead letter what became of it, and the letter stays what it is.
MARKS = {(State.DEAD.value, State.DEAD.value)}
UPDATE = re.compile(
    r"update millrace\.events(?P<set>.*?)\bwhere\b(?P<where>.*?)(?=update millrace\.events|\Z)", re.DOTALL
)
TARGET = re.compile(r"\bstate = '(\w+)'")
SOURCES = re.compile(r"\bstate (?:= '(\w+)'|in \(([^)]+)\)|= any\()")


def updates() -> Iterator[tuple[str, str, str]]:
    """(name, what is set, its condition) of every update of events in the ledger's statements."""
    for module in pkgutil.iter_modules(ledger.__path__, ledger.__name__ + "."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, str):
                for found in UPDATE.finditer(value):
                    yield f"{module.name}.{name}", found["set"], found["where"]


def sources(where: str) -> set[str]:
    """The states that a condition names; empty if it takes them from the table by a parameter."""
    return {
        state for one, several in SOURCES.findall(where) for state in ([one] if one else re.findall(r"\w+", several))
    }


def test_the_picture_is_the_table() -> None:
    page = (pages.ROOT / "docs/lifecycle.md").read_text()
    drawn = set(re.findall(r"^    (\w+|\[\*\]) --> (\w+|\[\*\])", page, re.MULTILINE))
    final = {(state.value, "[*]") for state, targets in TRANSITIONS.items() if not targets}
    assert drawn == TABLE | final | {("[*]", State.PENDING.value)}


def test_every_state_is_explained() -> None:
    page = (pages.ROOT / "docs/lifecycle.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page.partition("## Numbers")[0], re.MULTILINE) == [s.value for s in State]


def test_every_update_names_its_states_and_goes_the_ways_of_the_table() -> None:
    ways = set()
    for name, changed, where in updates():
        assert SOURCES.search(where), f"{name} names no state it comes from"
        target = TARGET.search(changed)
        found = {(source, target[1] if target else source) for source in sources(where)}  # One that sets none stays.
        assert found <= TABLE | MARKS, f"{name} goes a way that is not in the table"
        ways |= found
    assert ways == TABLE | MARKS


def test_every_update_out_of_running_names_the_attempt_and_the_ticket() -> None:
    seen = 0
    for name, changed, where in updates():
        if TARGET.search(changed) and State.RUNNING.value in sources(where):
            assert re.search(r"\battempt = ", where), name
            seen += 1
            if not name.endswith(".ADOPT"):  # It has just locked the row and read the number.
                assert "ticket_id = " in where, name
    assert seen > 3
