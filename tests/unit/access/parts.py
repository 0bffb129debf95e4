"""A clock that the test moves, and a ledger of keys in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from service.domain import credentials, errors

PEPPERS = ("p" * 32, "q" * 32)


class Time:
    """A clock in the hand of the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class Live:
    id: str
    hash: str
    name: str = "orders"
    role: str = "producer"
    types: tuple[str, ...] = ()
    left: float | None = None
    unused: float | None = None


class Keys:
    """A ledger of keys that counts what it is asked."""

    def __init__(self) -> None:
        self.rows: list[Live] = []
        self.asked = 0
        self.used_ids: list[str] = []
        self.away = False

    def add(self, pepper: str = PEPPERS[0], **fields: Any) -> str:
        new = credentials.make()
        self.rows.append(Live(new.id, credentials.keyed_hash(new.text, pepper), **fields))
        return new.text

    def live(self) -> list[Live]:
        self.asked += 1
        if self.away:
            raise errors.LedgerUnavailable
        return list(self.rows)

    def used(self, id: str) -> None:
        self.used_ids.append(id)

    create: Callable[..., Any]
    rotate: Callable[..., Any]
    revoke: Callable[..., Any]
