"""Every log call of ours names its action, so that lines can be found and counted whatever their sentence says."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
ACTION = re.compile(r"[a-z]+([._][a-z]+)*")
FILES = [
    path
    for folder in ("service", "workers", "schedules")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "log." in path.read_text()
]


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, list[ast.Dict]]]:
    """The log calls in a file, and the literals that ``extra`` may be: given there, or by name in the same function."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        named: dict[str, list[ast.Dict]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                for target in node.targets:
                    named.setdefault(ast.unparse(target), []).append(node.value)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and is_log(node.func):
                extra = next((word.value for word in node.keywords if word.arg == "extra"), None)
                yield (
                    node,
                    [extra] if isinstance(extra, ast.Dict) else named.get(ast.unparse(extra) if extra else "", []),
                )


def is_log(function: ast.expr) -> bool:
    """Whether this is ``log.info`` and the like."""
    found = isinstance(function, ast.Attribute) and function.attr in LEVELS and isinstance(function.value, ast.Name)
    return found and function.value.id == "log"  # type: ignore[union-attr]


def action(extra: ast.Dict) -> str | None:
    """Its action, with a dash for what is only known when it runs."""
    for key, value in zip(extra.keys, extra.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "action":
            if isinstance(value, ast.JoinedStr):
                return "".join(str(p.value) if isinstance(p, ast.Constant) else "some" for p in value.values)
            return value.value if isinstance(value, ast.Constant) else "some"  # A parameter says it.
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_log_call_names_its_action(path: pathlib.Path) -> None:
    for call, extras in calls(ast.parse(path.read_text())):
        actions = [action(extra) for extra in extras]
        assert actions, f"line {call.lineno}: {ast.unparse(call)[:80]} has no extra={{'action': …}}"
        assert all(found and ACTION.fullmatch(found) for found in actions), f"line {call.lineno}: {actions}"


def test_there_are_log_calls_to_look_at() -> None:
    assert sum(1 for path in FILES for _ in calls(ast.parse(path.read_text()))) > 50
