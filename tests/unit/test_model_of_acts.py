"""The models beside that of the road: joined tickets, cancel and replay (``acts.pml``), leases (``lease.pml``)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_model import FOLDER, need_tools, violated

#: Model → guard → the property that is gone without it.
GUARDS = {
    "acts": {
        "PARTED": "RIGHTLY_DEAD",
        "ACK_ALL": "SOON",
        "CANCEL_NOWAIT": "CLEAN",
        "FROM_PENDING": "ONCE",
        "LETTER_ONCE": "REPLAYED_ONCE",
        "REPLAY_COVERED": "COVERED",
    },
    "lease": {
        "FENCED": "ALONE",
        "FRESH_TICKET": "ALONE",
        "LIVE": "ALONE",
        "ONE_COMMIT": "COVERED",
        "LEASE_IS_DUE": "ENDED",
        "ASKED": "NOT_AFTER",
    },
}
CASES = [(model, guard) for model, guards in GUARDS.items() for guard in guards]


@pytest.fixture(autouse=True)
def _tools() -> None:
    need_tools()


@pytest.mark.parametrize("model", GUARDS)
def test_with_all_guards_nothing_is_found(model: str, tmp_path: Path) -> None:
    assert violated(tmp_path, "", model=FOLDER / f"{model}.pml") == ""


@pytest.mark.parametrize(("model", "guard"), CASES)
def test_without_a_guard_a_property_is_gone(model: str, guard: str, tmp_path: Path) -> None:
    assert violated(tmp_path, f"-DWITHOUT={guard}", model=FOLDER / f"{model}.pml") == GUARDS[model][guard]


@pytest.mark.parametrize("model", GUARDS)
def test_model_and_page_name_the_same_guards(model: str) -> None:
    head = (FOLDER / f"{model}.pml").read_text().partition("#define WITH(")[0]
    assert re.findall(r"#define ([A-Z_]+) +\d+ +/\*", head.partition("ATTEMPTS")[2]) == list(GUARDS[model])
    page = (FOLDER / "README.md").read_text().partition(f"`{model}.pml`")[2]
    for guard in GUARDS[model]:
        assert f"| `{guard}` |" in page
