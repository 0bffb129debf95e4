"""Whoever installs the package and has mypy sees the types of the client."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import sysconfig

import pytest

from tests.patience import PATIENCE
from tests.repository.pages import ROOT

PACKAGES = ("service", "workers", "schedules")

CONSUMER = """
from service.client import Client, Event, NewEvent, Spool

client = Client("http://127.0.0.1:5000")
event: Event = client.submit("orders.created", {"order": 7}, delay=1.5)
reveal_type(event.state)
client.submit(7)
NewEvent("orders.created", {}, colour="red")
Spool("spool").put("orders.created").upper().nothing
"""
WANTED = (
    "note: Revealed type is",
    'Argument 1 to "submit" of "Client" has incompatible type "int"; expected "str"',
    'Unexpected keyword argument "colour" for "NewEvent"',
    '"str" has no attribute "nothing"',
)


def test_each_package_says_that_it_is_typed() -> None:
    for package in PACKAGES:
        kept = subprocess.run(
            ["git", "ls-files", f"{package}/py.typed"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if kept.returncode:
            pytest.skip("this is no checkout with git")
        assert kept.stdout.strip() == f"{package}/py.typed"


def test_a_consumers_mypy_sees_the_types(tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "service").symlink_to(ROOT / "service")
    for package in ("httpx", "anyio"):
        (site / package).symlink_to(pathlib.Path(sysconfig.get_path("purelib")) / package)
    (tmp_path / "consumer.py").write_text(CONSUMER)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--python-executable", str(python), "consumer.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120 * PATIENCE,
    )  # fmt: skip
    assert done.stderr == ""
    assert [told for told in WANTED if told not in done.stdout] == [], done.stdout
    assert 'Revealed type is "Any"' not in done.stdout
    assert "Found 3 errors" in done.stdout
