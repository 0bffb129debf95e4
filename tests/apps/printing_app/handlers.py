"""What people write while they look for a mistake."""

from __future__ import annotations

import subprocess
import sys
import traceback
from typing import Any

from workers import handler


@handler("prints.made")
def make(payload: dict[str, Any]) -> None:
    """Print, in all the ways there are."""
    print("Printed", payload["number"], {"password": "geheim"})  # noqa: T201
    sys.stderr.write("Complained\n")
    sys.stdout.buffer.write(b"Written as bytes\n")
    print("Without an end", end="")  # noqa: T201
    sys.stdout.flush()
    try:
        raise ValueError("caught")
    except ValueError:
        traceback.print_exc()
    subprocess.run(["true"], stdout=sys.stdout, check=True)
