"""Runs a module as systemd would: no new privileges, and no memory that is written may be executed.

``python -m tests.deploy.confined service web``
"""

from __future__ import annotations

import ctypes
import os
import sys

NO_NEW_PRIVILEGES, DENY_WRITE_EXECUTE = 38, 65  #: PR_SET_… of prctl(2)
REFUSE_GAIN = 1


def confine() -> None:
    """Give it up, for this process and all that come of it; raises OSError where the kernel cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    for what, value in ((NO_NEW_PRIVILEGES, 1), (DENY_WRITE_EXECUTE, REFUSE_GAIN)):
        if libc.prctl(what, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl {what}")


if __name__ == "__main__":
    confine()
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
