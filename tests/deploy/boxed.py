"""Stands for ``docker compose`` by podman: our services run in the image that ``deploy/Dockerfile`` makes.

``python -m tests.deploy.boxed STATE compose -f FILE build|run|exec … SERVICE WORDS``, as ``engine.py`` natively; and
``… STATE up SERVICE``, which stays as long as the container does and hands SIGTERM on to it. The state is a file of the
test's, written by ``tests.deploy.boxes``.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys


def main(path: str, *words: str) -> None:
    """Become podman, or stand for a container."""
    state = json.loads(pathlib.Path(path).read_text())
    podman = state["podman"]
    if words[0] == "up":
        sys.exit(stay(state, words[1]))
    rest = list(words[1:])
    while rest[0] == "-f":
        del rest[:2]
    verb, *rest = rest
    if verb == "build":
        done = subprocess.run([*podman, *state["build"]], capture_output=True, text=True, check=False)
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:] if done.returncode else 0)
    while rest[0].startswith("-"):
        if rest.pop(0) not in ("--rm", "-T", "--no-deps"):
            sys.exit(f"not understood: {words}")
    name, *typed = rest
    given = {
        "run": ["run", "--rm", "--interactive", *state["services"][name]["options"], state["image"]],
        "exec": ["exec", "--interactive", name],
    }
    os.execvp(podman[0], [*podman, *given[verb], *typed])


def stay(state: dict[str, object], name: str) -> int:
    """Run a service in a container of its name, and wait for its end; how it ended."""
    podman, service = state["podman"], state["services"][name]  # type: ignore[index]
    words = ["run", "--rm", f"--name={name}", *service["options"], state["image"], *service["words"]]
    box = subprocess.Popen([*podman, *words])  # type: ignore[misc]

    def hand_on(*_: object) -> None:
        subprocess.run([*podman, "kill", "--signal=TERM", name], check=False)  # type: ignore[misc]

    signal.signal(signal.SIGTERM, hand_on)
    return box.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
