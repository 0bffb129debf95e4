"""``README.md``: its tour, typed as it stands there, prints what it shows."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from tests.deploy import typed
from tests.processes import ROOT

TOUR = typed.commands((ROOT / "README.md").read_text())
PLACE = re.compile(r"^location: /v1/events/(\S+)$", re.MULTILINE)


def type_in(stack: Any, text: str) -> str:
    """What a shell prints."""
    text = text.replace("http://127.0.0.1:5000", stack.url)
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout


def test_an_event_is_posted_looked_at_and_posted_again(stack: Any) -> None:
    [post], [look] = TOUR
    [known], status = PLACE.findall(post.prints), post.prints.splitlines()[0]
    printed = type_in(stack, post.text)
    [event_id] = PLACE.findall(printed)
    assert printed.splitlines()[0] == status

    text = look.text.replace(known, event_id)
    stack.wait(lambda: json.loads(type_in(stack, text))["state"] != "pending", within=20)
    typed.Command(text, look.prints.replace(known, event_id)).check(f"{type_in(stack, text)}\n")

    again = type_in(stack, post.text)
    assert (again.splitlines()[0], PLACE.findall(again)) == (status, [event_id])
    other = type_in(stack, post.text.replace("[51, 52, 53]", "[51]"))
    assert other.splitlines()[0].split()[1] == "422"
