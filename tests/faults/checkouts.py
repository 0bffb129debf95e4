"""Older code of this very repository, to run beside today's."""

from __future__ import annotations

import configparser
import io
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from tests.processes import ROOT

#: What a process of a road needs of a checkout; its dependencies are today's.
PARTS = ("service", "workers", "schedules", "tests", "setup.cfg")


def checkout(revision: str, folder: pathlib.Path) -> pathlib.Path:
    """A folder with the code of a commit; the test is skipped where the history does not go back so far."""
    if not shutil.which("git") or _git("cat-file", "-e", f"{revision}^{{commit}}").returncode:
        pytest.skip(f"needs commit {revision[:7]}: this is a shallow clone, or no clone (git fetch --unshallow)")
    archive = _git("archive", "--format=tar", revision, *PARTS)
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    _describe(folder)
    return folder


def _describe(folder: pathlib.Path) -> None:
    """The entry points of that code: the first distribution of a name on the path is the one that Python believes."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(folder / "setup.cfg")
    groups = setup["options.entry_points"].items()
    described = folder / "millrace.egg-info"
    described.mkdir()
    (described / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: millrace\nVersion: 0\n")
    (described / "entry_points.txt").write_text("".join(f"[{group}]{entries}\n" for group, entries in groups))


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
