"""Reading the rules of ``monitoring/prometheus``: the few forms of YAML that they are written in."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "monitoring/prometheus"
FILES = sorted((FOLDER / "rules").glob("*.yml"))
BOOKS = sorted((ROOT / "docs/runbooks").glob("Millrace*.md"))
FIELD = re.compile(r"^( {6}- | {8}| {10})(\w+):(?: (.*))?$")


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """An alert, or what is recorded."""

    fields: dict[str, str]

    @property
    def alert(self) -> str:
        """The name of the alert; empty for what is recorded."""
        return self.fields.get("alert", "")

    @property
    def expr(self) -> str:
        """Its expression."""
        return self.fields["expr"]


def groups(paths: Iterable[pathlib.Path]) -> list[str]:
    """The names of all groups of these files, those that record first."""
    names = [name for path in paths for name in re.findall(r"^  - name: (\S+)$", path.read_text(), re.MULTILINE)]
    return sorted(names, key=lambda name: "recording" not in name)


def read() -> list[Rule]:
    """All rules."""
    return [rule for path in FILES for rule in _read(path.read_text())]


def alerts() -> list[Rule]:
    """All alerts; one name may stand there more than once, with another severity."""
    return [rule for rule in read() if rule.alert]


def _read(text: str) -> list[Rule]:
    found: list[dict[str, str]] = []
    last = ""
    for line in text.splitlines():
        field = FIELD.match(line)
        if field and "- " in field[1]:
            found.append({})
        if field and found:
            last = field[2]
            value = (field[3] or "").strip()
            found[-1][last] = "" if value == "|" else value.strip("'\"")
        elif found and line.startswith(" " * 10):
            found[-1][last] += " " + line.strip()
    return [Rule({name: value.strip() for name, value in one.items()}) for one in found]


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in an expression, as they stand there."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return set(re.findall(r"\b(?:millrace|rabbitmq|process|scrape|up|ALERTS)[a-z0-9_:]*\b", bare))


def checks(book: pathlib.Path) -> list[str]:
    """The commands that a runbook tells to run."""
    (block,) = re.findall(r"## Checks\n```sh\n(.*?)```", book.read_text(), re.DOTALL)
    return [line for line in block.splitlines() if line and not line.startswith("#")]
