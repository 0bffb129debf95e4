"""Small disks that a test can fill. Mounting one needs root."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from service.local import spawn

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, megabytes: int) -> Iterator[pathlib.Path]:
    """A file system of its own, in memory."""
    folder.mkdir()
    mount, umount = (shutil.which(name, path=spawn.PATH) for name in ("mount", "umount"))
    assert mount is not None, "no mount"
    assert umount is not None, "no umount"
    subprocess.run([mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run([umount, "--lazy", str(folder)], check=True)


def fill(disk: pathlib.Path) -> pathlib.Path:
    """Write until there is no space; the file that takes it."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))
    return ballast
