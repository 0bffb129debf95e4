"""``README.md``: its tour, typed as it stands there, prints what it shows."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from tests.deploy import typed
from tests.processes import ROOT

TOUR = typed.commands((ROOT / "README.md").read_text())


def type_in(stack: Any, command: typed.Command) -> str:
    """What a shell prints."""
    text = command.text.replace("http://127.0.0.1:5000", stack.url)
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout


def test_an_event_is_posted_looked_at_and_posted_again(stack: Any) -> None:
    [post], [look] = TOUR
    first = type_in(stack, post).splitlines()
    status, location = post.prints.splitlines()
    assert first[0] == status
    [place] = [line.removeprefix("location: ") for line in first if line.startswith("location: ")]
    there = re.compile("(?<=/v1/events/)[0-9a-f-]{36}$")
    assert f"location: {there.sub('', place)}" == there.sub("", location)

    found = typed.Command(there.sub(there.search(place)[0], look.text), look.prints)  # type: ignore[index]
    stack.wait(lambda: json.loads(type_in(stack, found))["state"] != "pending", within=20)
    found.check(f"{type_in(stack, found)}\n")

    again = type_in(stack, post).splitlines()
    assert (again[0], f"location: {place}" in again) == (status, True)
    other = typed.Command(post.text.replace("[51, 52, 53]", "[51]"), "")
    assert type_in(stack, other).split()[1] == "422"
