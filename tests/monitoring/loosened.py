"""Rules that tell too soon: each comparison of an alert, and its ``for``, a little less strict, one at a time.

What is quiet by a hair's breadth is told of by them; what is quiet by far would be, whatever a rule said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

#: A comparison, and what may stand between it and its right side.
COMPARISON = re.compile(r"(>=|<=|==|>|<)( on \(\w*\))?(?= )")
BY = 1.5  #: how much a limit is off
OUT_OF_REACH = "1e18"  #: larger than all that is compared here
UNITS = {"s": 1, "m": 60, "h": 3600}


def loosened(rule: dict[str, Any], step: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(What was changed, the rule) for each way in which it can be; ``step``: seconds between two evaluations."""
    expression = rule["expr"]
    for found in COMPARISON.finditer(expression):
        before, after = expression[: found.start()], expression[found.end() :]
        changed = before + _easier(found, after, keeps_quiet="unless" in before) + after
        yield " ".join(expression[found.start() :].split())[:50], rule | {"expr": changed}
    if lasts := rule.get("for"):
        yield f"for: {lasts}", rule | {"for": f"{int(lasts[:-1]) * UNITS[lasts[-1]] - step}s"}


def _easier(found: re.Match[str], after: str, *, keeps_quiet: bool) -> str:
    sign, matching = found[1], found[2] or ""
    if keeps_quiet:  # What stands behind `unless`: it is to hold no longer.
        return f"{sign}{matching} {OUT_OF_REACH} +"
    if sign == "==":
        return ">=" if after.startswith(" 0") else "<="
    if after.startswith(" 0") and not after.startswith(" 0."):
        return f"{sign}={matching}"
    return f"{sign}{matching} {BY} *" if sign in ("<", "<=") else f"{sign}{matching} 1 / {BY} *"
