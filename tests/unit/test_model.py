"""The model of the road (``docs/model``): spin finds no event lost, doubled or stuck, and finds one without a guard."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service import settings

FOLDER = Path(__file__).parents[2] / "docs" / "model"
MODEL = FOLDER / "road.pml"

ONE_DEATH = "-DRAISES=0 -DDISKS=0"
ONE_FAULT = "-DFAULTS=1 -DRAISES=1"
ERRORS = "-DFAULTS=0 -DRAISES=3"
APART = "-DAPART=1"
DEMO = "-DDEMO=1 -DRAISES=0"
DEMO_POISON = "-DDEMO=1 -DPOISON=1 -DFAULTS=0"
POISON_FIRST = "-DPOISON=1 -DRAISES=0"
POISON_SECOND = "-DPOISON=2 -DFAULTS=0"

#: The switches of the model with which every property holds, and each search comes to its end.
TRIED = [ONE_DEATH, ONE_FAULT, ERRORS, APART, DEMO, DEMO_POISON, POISON_FIRST, POISON_SECOND]

#: Those whose search takes longest.
LONGEST = (ONE_FAULT, POISON_FIRST)

#: A guard; where, of all that is tried, it is taken out; and the property that is gone with it.
GUARDS = {
    "ANSWER_LAST": (ONE_DEATH, "ENDED"),
    "COMMIT_FIRST": (ONE_DEATH, "SOON"),
    "LEAD": (ONE_DEATH, "ROOM_LEFT"),
    "EVIDENCE": (ERRORS, "ROOM_LEFT"),
    "CAREFUL_AGAIN": (DEMO_POISON, "FEW_KILLS"),
    "ROW_STAYS": (ONE_FAULT, "ENDED"),
    "REVISION": (ONE_DEATH, "SOON"),
    "LOCK": (ONE_DEATH, "ONCE"),
    "BY_TICKET": (ONE_FAULT, "NOT_BEFORE"),
    "COUNT_FIRST": (POISON_SECOND, "FEW_KILLS"),
    "COUNTED_ONLY": (POISON_FIRST, "FEW_KILLS"),
    "TAKE_BACK": (ERRORS, "RIGHTLY_DEAD"),
    "JOINED": (ONE_DEATH, "ONCE"),
    "SAME_COMMIT": (ONE_DEATH, "ENDED"),
    "SAME_RETRY": (ERRORS, "COVERED"),
    "SEES_LOCKED": (ONE_DEATH, "COVERED"),
    "LOCKED_IS_DUE": (POISON_FIRST, "SOON"),
    "CARE_STAYS": (POISON_SECOND, "FEW_KILLS"),
    "ACK_LAST": (ONE_DEATH, "SOON"),
}

SAFETY = ("-DSAFETY", "-DNOCLAIM")  #: assertions and ends, without the formula
FORMULA = ("-DNFAIR=3",)  #: weak fairness for up to 14 processes


@pytest.fixture(autouse=True)
def _tools() -> None:
    """Skip the test when its tools are missing; in CI that is a failure."""
    missing = [name for name in ("spin", "gcc") if shutil.which(name) is None]
    if missing and settings.environment("CI") == "true":
        pytest.fail(f"CI needs {' and '.join(missing)}")
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")


def violated(folder: Path, switches: str, *, compiled: tuple[str, ...] = SAFETY, options: tuple[str, ...] = ()) -> str:
    """Search; the name of the property that is violated, as the model calls it, or ``""`` if none is."""
    run(folder, "spin", "-a", *switches.split(), str(MODEL))
    run(folder, "gcc", "-w", *compiled, "-o", "pan", "pan.c")  # Optimising takes longer than it saves.
    found = run(folder, "./pan", "-n", "-w20", "-m200000", *options)
    if "errors: 0\n" in found:
        assert "error: max search depth too small" not in found
        return ""
    verdict = re.search(r"^pan:1: ([a-z ]+) \(", found, re.MULTILINE)
    assert verdict, found
    return asserted(folder, switches) if verdict[1] == "assertion violated" else verdict[1]


def asserted(folder: Path, switches: str) -> str:
    """The first name in the assertion that ends the trail, which spin left in the folder."""
    told = run(folder, "spin", "-t", "-k", "road.pml.trail", *switches.split(), str(MODEL))
    line = re.search(r"road\.pml:(\d+), Error: assertion violated", told)
    assert line, told
    name = re.search(r"assert\((\w+)", MODEL.read_text().splitlines()[int(line[1]) - 1])
    assert name
    return name[1]


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("switches", [pytest.param(s, marks=[pytest.mark.heavy] * (s in LONGEST)) for s in TRIED])
def test_no_event_is_lost_doubled_or_stuck(switches: str, tmp_path: Path) -> None:
    assert violated(tmp_path, switches) == ""


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_a_property_is_gone(guard: str, tmp_path: Path) -> None:
    switches, gone = GUARDS[guard]
    assert switches in TRIED, "with the guard the same search must find nothing"
    assert violated(tmp_path, f"{switches} -DWITHOUT={guard}") == gone


def test_the_events_come_to_an_end_and_are_not_passed_around_for_ever(tmp_path: Path) -> None:
    assert violated(tmp_path, "-DFAULTS=0", compiled=FORMULA, options=("-a", "-f")) == ""


def test_a_circle_without_end_is_found(tmp_path: Path) -> None:
    switches = f"{POISON_SECOND} -DWITHOUT=COUNT_FIRST"
    assert violated(tmp_path, switches, compiled=FORMULA, options=("-a", "-f", "-A")) == "acceptance cycle"


def test_the_model_its_page_and_its_tests_name_the_same_guards() -> None:
    page = (FOLDER / "README.md").read_text()
    guards = MODEL.read_text().partition("The guards ----")[2].partition("#define WITH(")[0]
    assert set(re.findall(r"#define ([A-Z_]+) +\d", guards)) == set(GUARDS)
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \|.*\| `([A-Z_]+)` \|$", page, re.MULTILINE))
    assert rows == {guard: gone for guard, (_, gone) in GUARDS.items()}
    assert [s for s in TRIED if f"| `{s}` |" not in page] == []
