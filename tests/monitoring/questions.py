"""PromQL, taken apart by a parser: which metrics a question names, and how it asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser

#: What a parser takes in the place of Grafana's own variables.
DURATIONS = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "1m"}


def parsed(expr: str) -> Any:
    """The tree of a question; raises ValueError for one that is wrong."""
    for name, value in DURATIONS.items():
        expr = expr.replace(name, value)
    return promql_parser.parse(expr)


def nodes(node: Any) -> Iterator[Any]:
    """A node of the tree, and all below it."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        below = getattr(node, name, None)
        if below is not None and type(below).__module__ == type(node).__module__:
            yield from nodes(below)
    args = getattr(node, "args", None)
    for below in args if isinstance(args, list) else ():
        yield from nodes(below)


def selectors(expr: str) -> list[Any]:
    """The selectors of series in a question."""
    return [node for node in nodes(parsed(expr)) if type(node).__name__ == "VectorSelector"]


def metrics(expr: str) -> set[str]:
    """The metrics that a question names."""
    return {str(found.name) for found in selectors(expr)}
