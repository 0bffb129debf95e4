"""Running a program that refuses to run as root, such as PostgreSQL, when we are root.

Three ways, tried in this order:

1. a user namespace, in which our root is seen as another user; the files stay root's,
2. another user of the machine, who then owns the folder,
3. that user with the one capability it needs to pass through folders that are closed to it.

Each is probed with the real program and the real folder before it is used. As an ordinary user
nothing of this is needed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.local import spawn

#: Whose place root takes, best first.
USERS = ("postgres", "nobody", "daemon")
_PROBE = 'test -w "$1" && test -x "$1" && cd "$1" && "$2" --version'


@dataclass(frozen=True)
class Way:
    """One way to run a program without being root."""

    #: The words before the command.
    prefix: tuple[str, ...] = ()
    #: Who must own the program's files, as a user and a group id outside of any namespace.
    owner: tuple[int, int] | None = None

    def works(self, program: Path, folder: Path) -> bool:
        """Whether the program can be started and can write to the folder this way."""
        probe = subprocess.run(
            [*self.prefix, "/bin/sh", "-c", _PROBE, "sh", str(folder), str(program)],
            env=spawn.ENVIRONMENT,
            capture_output=True,
            check=False,
        )
        return probe.returncode == 0

    def hand_over(self, folder: Path) -> None:
        """Give the folder and all in it to the program's owner."""
        if self.owner is None:
            return
        for path in (folder, *folder.rglob("*")):
            if (path.lstat().st_uid, path.lstat().st_gid) != self.owner:
                os.chown(path, *self.owner, follow_symlinks=False)


def way(program: Path, folder: Path) -> Way:
    """The first way that works for this program and this folder, which is then its owner's."""
    if os.geteuid() != 0:
        return Way()
    for candidate in _ways():
        candidate.hand_over(folder)
        if candidate.works(program, folder):
            return candidate
    raise spawn.LocalError(
        f"{program.name} does not run as root, and no other user could take its place in {folder}: "
        "run this as an ordinary user"
    )


def _ways() -> Iterator[Way]:
    unshare, setpriv = (shutil.which(name, path=spawn.PATH) for name in ("unshare", "setpriv"))
    users = [user for user in pwd.getpwall() if user.pw_name in USERS and user.pw_uid]
    users.sort(key=lambda user: USERS.index(user.pw_name))
    if unshare:
        for user in users[:1]:
            yield Way((unshare, "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"), (0, 0))
    if setpriv:
        for user in users:
            become = (setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
            pass_through = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
            yield Way(become, (user.pw_uid, user.pw_gid))
            yield Way((*become, *pass_through), (user.pw_uid, user.pw_gid))
