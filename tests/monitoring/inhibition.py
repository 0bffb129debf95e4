"""Who keeps whom quiet, by ``monitoring/alertmanager/alertmanager.yml``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from tests.monitoring import rules

PATH = rules.ROOT / "monitoring/alertmanager/alertmanager.yml"

Labels: TypeAlias = Mapping[str, str]  #: of an alert that fires


@dataclasses.dataclass(frozen=True, slots=True)
class Inhibition:
    """While an alert of the one kind fires, those of the other are not told."""

    source: dict[str, str]  #: label → pattern
    target: dict[str, str]
    equal: tuple[str, ...]  #: labels that both must agree in; missing is empty

    def quiets(self, target: Labels, source: Labels) -> bool:
        """Whether it keeps ``target`` quiet while ``source`` fires."""
        same = all(target.get(label, "") == source.get(label, "") for label in self.equal)
        return same and _fits(self.target, target) and _fits(self.source, source) and source is not target


def read() -> list[Inhibition]:
    """All of them."""
    blocks = PATH.read_text().partition("inhibit_rules:")[2].split("- source_matchers:")[1:]
    return [_read(block) for block in blocks]


def told(firing: Iterable[Labels], known: Iterable[Inhibition]) -> list[Labels]:
    """Of alerts that fire at the same time, those that are told."""
    every, inhibitions = list(firing), list(known)
    return [one for one in every if not any(each.quiets(one, other) for each in inhibitions for other in every)]


def _read(block: str) -> Inhibition:
    source, _, rest = block.partition("target_matchers:")
    target, _, equal = rest.partition("equal:")
    labels = equal.partition("]")[0].strip(" [\n")
    return Inhibition(
        _matchers(source), _matchers(target), tuple(label.strip() for label in labels.split(",") if labels)
    )


def _matchers(text: str) -> dict[str, str]:
    return {
        label: value if like else re.escape(value) for label, like, value in re.findall(r'(\w+)=(~?)"([^"]+)"', text)
    }


def _fits(patterns: dict[str, str], labels: Labels) -> bool:
    return all(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in patterns.items())
