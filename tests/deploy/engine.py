"""Stands for ``docker compose``: ``run`` and ``exec`` start a service's image natively, with the service's environment.

``python -m tests.deploy.engine STATE compose -f FILE run … SERVICE WORDS``; the state is a file of the test's,
service → environment, written by ``tests.deploy.containers``.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

#: A program of the image → the module that is its main one.
MODULES = {"millrace": "service", "celery": "celery"}


def main(state: str, *words: str) -> None:
    """Become what the service would run."""
    compose, *rest = words
    files = []
    while rest[0] == "-f":
        files.append(pathlib.Path(rest[1]).name)
        del rest[:2]
    verb, *rest = rest
    if compose != "compose" or files not in (["compose.yaml"], ["compose.yaml", "apps.yaml"]):
        sys.exit(f"not understood: {words}")
    if verb == "build":
        return
    while rest[0].startswith("-"):
        if rest.pop(0) not in ("--rm", "-T", "--no-deps"):
            sys.exit(f"not understood: {words}")
    service, program, *given = rest
    environment = json.loads(pathlib.Path(state).read_text())[service]
    if verb not in ("run", "exec"):
        sys.exit(f"not understood: {words}")
    python = [sys.executable, "-m", MODULES[program], *given]
    os.execve(sys.executable, python, environment)


if __name__ == "__main__":
    main(*sys.argv[1:])
