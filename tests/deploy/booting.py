"""Becomes systemd, on a copy of this root that may be written, in namespaces of its own: see ``machine.py``.

``python -m tests.deploy.booting outside FOLDER [SHARED…]``; the folder is an empty one, those that are shared are the
same in there. The network and the clock are this machine's. Of what this machine would start by itself nothing is left:
there is systemd, its journal, and what a test lays out.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

GROUPS = pathlib.Path("/sys/fs/cgroup")
SYSTEMD = "/lib/systemd/systemd"
#: Of the kernel, which all share: to be looked at only.
READ_ONLY = ("proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus")
#: What stays of what systemd starts. Not its socket for audits: it would switch them on in the kernel.
JOURNAL = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
WORDS = ("--unit=multi-user.target", "--log-target=journal-or-kmsg", "systemd.legacy_systemd_cgroup_controller=yes")
NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts", "--ipc")
#: Tells systemd that the kernel is not its own: no clock, no modules, no settings of the kernel.
ENVIRONMENT = {"container": "millrace-test", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def mount(*words: str | pathlib.Path) -> None:
    """One mount; raises OSError with mount's own words."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"mount {' '.join(map(str, words))}: {done.stderr.strip()}")


def hierarchies() -> list[tuple[pathlib.Path, str, list[str]]]:
    """(where it is mounted, kind, its own options) of each tree of control groups."""
    found = []
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        # A group of processors must be filled before anybody enters it; systemd has no use for that tree.
        own = [word for word in options.split(",") if word not in ("rw", "relatime", "nosuid", "nodev", "noexec")]
        if kind in ("cgroup", "cgroup2") and place.startswith(str(GROUPS)) and "cpuset" not in own:
            found.append((pathlib.Path(place), kind, own if kind == "cgroup" else []))
    # Both kinds at once is what engines for containers refuse.
    older = [one for one in found if one[1] == "cgroup"]
    return older or found


def groups(pid: int | str = "self") -> list[pathlib.Path]:
    """The folders of the control groups that a process is in."""
    inside = {}
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        inside[frozenset(filter(None, names.split(",")))] = path
    return [place / inside[frozenset(own)].lstrip("/") for place, _, own in hierarchies() if frozenset(own) in inside]


def enter(name: str) -> None:
    """Go into a group of this name, below those that we are in."""
    for folder in groups():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "cgroup.procs").write_text(str(os.getpid()))


def lay(folder: pathlib.Path) -> pathlib.Path:
    """The new root: this machine's with a layer over it that is gone with us."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "machine", folder)
    above, work, root = (folder / name for name in ("above", "work", "root"))
    for path in (above, work, root):
        path.mkdir()
    mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={above},workdir={work}", "machine", root)
    mount("-t", "proc", "proc", root / "proc")
    for path in (root / name for name in READ_ONLY):
        if path.exists():
            mount("--bind", "-o", "ro", path, path)
    mount("-t", "sysfs", "-o", "ro", "sysfs", root / "sys")
    for name, mode in (("run", "755"), ("tmp", "1777"), ("var/tmp", "1777"), ("dev", "755"), ("sys/fs/cgroup", "755")):
        mount("-t", "tmpfs", "-o", f"mode={mode}", "machine", root / name)
    return root


def equip(root: pathlib.Path) -> None:
    """Devices, and the control groups from where we are in them downwards."""
    for name in DEVICES:
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", root / "dev" / name)
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (root / "dev" / name).symlink_to(target)
    for name, words in (("pts", ("devpts", "newinstance,ptmxmode=0666,mode=620")), ("shm", ("tmpfs", "mode=1777"))):
        (root / "dev" / name).mkdir()
        mount("-t", words[0], "-o", words[1], words[0], root / "dev" / name)
    for place, kind, own in hierarchies():
        target = root / place.relative_to("/")
        target.mkdir(exist_ok=True)
        mount("-t", kind, *(["-o", ",".join(own)] if own else []), kind, target)


def empty(root: pathlib.Path) -> None:
    """Take away what this machine would start."""
    units = root / "usr/lib/systemd/system"
    wanted = [p for p in units.glob("*.wants/*") if p.name not in JOURNAL]
    for path in (*wanted, *(root / "usr/lib/systemd/system-generators").iterdir()):
        path.unlink()
    subprocess.run(["rm", "-rf", root / "etc/systemd/system"], check=True)
    (root / "etc/systemd/system").mkdir()
    subprocess.run(["rm", "-rf", root / "var/log/journal"], check=True)


def main(stage: str, folder: str, *shared: str) -> None:
    """Outside: go into groups of our own and begin the namespaces. Inside: make the root, and become systemd."""
    if stage == "outside":
        enter(pathlib.Path(folder).parent.name)
        again = [sys.executable, "-m", "tests.deploy.booting", "inside", folder, *shared]
        os.execvp("unshare", ["unshare", *NAMESPACES, "--fork", "--kill-child", *again])
    root = lay(pathlib.Path(folder))
    for place in shared:
        target = root / place.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        mount("--bind", place, target)
    equip(root)
    empty(root)
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True)
    subprocess.run(["umount", "-l", "."], check=True)
    os.chdir("/")
    mount("--make-rshared", "/")  # What systemd mounts for a service beside itself, credentials, it shall see too.
    os.execve(SYSTEMD, [SYSTEMD, *WORDS], ENVIRONMENT)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(str(error))
