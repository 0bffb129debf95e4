"""Older code of this very repository, to run beside today's."""

from __future__ import annotations

import io
import pathlib
import shutil
import subprocess
import tarfile

import pytest

from tests.processes import ROOT

#: What a process of a road needs of a checkout; its dependencies are today's.
FOLDERS = ("service", "workers", "schedules", "tests")


def checkout(revision: str, folder: pathlib.Path) -> pathlib.Path:
    """A folder with the code of a commit; the test is skipped where the history does not go back so far."""
    if not shutil.which("git") or _git("cat-file", "-e", f"{revision}^{{commit}}").returncode:
        pytest.skip(f"needs commit {revision[:7]}: this is a shallow clone, or no clone (git fetch --unshallow)")
    archive = _git("archive", "--format=tar", revision, *FOLDERS)
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
