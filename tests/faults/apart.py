"""Start a process where the machine looks otherwise: ``python -m tests.faults.apart <how> <word> … -m <module> …``.

It has a mount namespace of its own, which ends with it. Needs root.

- ``hosts <file>``: names have the addresses that this file says, at each moment.
- ``full <folder> …``: no byte can be written to /tmp, and the root is read-only; but for these folders.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import sys
from collections.abc import Sequence

NEW_NAMESPACE = 0x00020000  #: CLONE_NEWNS
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18  #: MS_…
TMP = pathlib.Path("/tmp")


def main(words: Sequence[str]) -> None:
    """Change what this process sees, and become the other program."""
    end = words.index("-m")
    (how, *given), program = words[:end], words[end:]
    _call("unshare", NEW_NAMESPACE)
    _mount("none", "/", RECURSIVE | PRIVATE)
    {"hosts": _hosts, "full": _full}[how](*given)
    os.execv(sys.executable, [sys.executable, *program])


def _hosts(file: str) -> None:
    _mount(file, "/etc/hosts", BIND)


def _full(*folders: str) -> None:
    # What lies below /tmp is held by its descriptor while another disk is put over it.
    here = pathlib.Path.cwd()
    kept = {folder: os.open(folder, os.O_PATH) for folder in folders}
    _mount("none", str(TMP), 0, "tmpfs", "size=64k")
    for folder, descriptor in kept.items():
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", folder, BIND)
    with contextlib.suppress(OSError), (TMP / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))
    _mount("none", "/", REMOUNT | BIND | READ_ONLY)
    os.chdir(here)  # By its name: until now this is a place on the disk below.


def _mount(source: str, target: str, flags: int, kind: str = "none", data: str = "") -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())


def _call(name: str, *values: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*values):
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


if __name__ == "__main__":
    main(sys.argv[1:])
