"""Tracebacks that name files as they are imported: not the folders of the machine, which are nobody's business."""

from __future__ import annotations

import os
import re
import sys

FILE = re.compile(r'^([ |]*File ")([^"\n]+)(?=")', re.MULTILINE)
#: What libraries and the standard library lie in; the last part is kept, so that they can be told from one's own code.
LIBRARY = re.compile(r".*/((?:site|dist)-packages/)")
STANDARD = re.compile(r".*/lib\d*/(python\d[^/]*/)")


def shortened(trace: str) -> str:
    """A traceback with its files relative to where their packages are imported from, as far as that is known."""
    roots = sorted({os.path.abspath(root) for root in sys.path}, key=len, reverse=True)
    return FILE.sub(lambda found: found[1] + _place(found[2], roots), trace)


def _place(path: str, roots: list[str]) -> str:
    for pattern in (LIBRARY, STANDARD):
        if pattern.match(path):
            return pattern.sub(r"\1", path, count=1)
    root = next((root for root in roots if path.startswith(root.rstrip("/") + "/")), None)
    return path if root is None else path[len(root.rstrip("/")) + 1 :]
