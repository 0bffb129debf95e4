"""Free TCP ports on the loopback address, kept in a small file so that a server finds its own again."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.local import spawn

LOOPBACK = "127.0.0.1"
#: Below the range from which Linux takes the ports of outgoing connections, so that none of these
#: takes the port of a server while it restarts.
FIRST, LAST = 20_000, 32_000
#: What this process was given: nobody need listen on a port yet who was told of it.
_given: set[int] = set()


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now. A socket that merely lingers after its close is no obstacle."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free(host: str = LOOPBACK) -> int:
    """A free port, chosen at random so that two who ask at once get different ones; never one that was given before."""
    for _ in range(200):
        port = random.randint(FIRST, LAST)
        if port not in _given and is_free(port, host):
            _given.add(port)
            return port
    raise spawn.LocalError(f"no free port found between {FIRST} and {LAST}")


def first_free(start: int, tries: int = 10, *, step: int = 1, host: str = LOOPBACK) -> int:
    """The first free port from ``start`` on, ``step`` from one to the next; ``start`` itself when none is."""
    candidates = (port for port in range(start, start + step * tries, step) if is_free(port, host))
    return next(candidates, start)


def remembered(path: Path, names: Sequence[str], *, keep: Sequence[str] = ()) -> dict[str, int]:
    """A port for each name: those of last time, as far as they are free, and new ones for the others.

    The names in ``keep`` are in use by ourselves: their ports stay.
    """
    known = read(path)
    chosen: dict[str, int] = {}
    for name in names:
        port = known.get(name, 0)
        while not port or port in chosen.values() or (name not in keep and not is_free(port)):
            port = free()
        chosen[name] = port
    if chosen != known:
        write(path, chosen)
    return chosen


def write(path: Path, chosen: Mapping[str, int]) -> None:
    """Keep these ports."""
    path.write_text(json.dumps(chosen) + "\n")


def read(path: Path) -> dict[str, int]:
    """The ports that were written last; a file that is missing or torn counts as empty."""
    try:
        content = json.loads(path.read_text())
        return {str(name): int(port) for name, port in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
