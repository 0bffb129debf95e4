"""Lists of side tables, newest first, page by page.

The cursor of a page is instant and id of its last row, so that it holds though rows come and go meanwhile.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy

#: Microseconds since the epoch, and an id.
CURSOR = r"[0-9]{1,17}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    rows: list[dict[str, Any]]
    next_cursor: str | None  #: None on the last page


def cursor_of(at: str, id: str) -> str:
    """SQL for a row's cursor."""
    return f"(extract(epoch from {at}) * 1000000)::bigint || '.' || {id} as cursor"


def below(at: str, id: str) -> str:
    """SQL for being on a later page than ``%(cursor_at)s`` and ``%(cursor_id)s``."""
    return (
        f"({at}, {id}) < (timestamptz 'epoch' + %(cursor_at)s::float8 * interval '1 microsecond', %(cursor_id)s::uuid)"
    )


def values(cursor: str) -> dict[str, str]:
    """What ``below`` compares with; raises ValueError."""
    if not re.fullmatch(CURSOR, cursor):
        raise ValueError("this is no cursor")
    at, _, id = cursor.partition(".")
    return {"cursor_at": at, "cursor_id": id}


def cut(rows: list[sqlalchemy.RowMapping], limit: int) -> Page:
    """The page in rows of which one more than ``limit`` was asked for."""
    found = [in_utc(row) for row in rows[:limit]]
    cursors = [row.pop("cursor") for row in found]
    return Page(found, cursors[-1] if len(rows) > limit else None)


def in_utc(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with its instants in UTC."""
    return {
        str(name): value.astimezone(datetime.UTC) if isinstance(value, datetime.datetime) else value
        for name, value in row.items()
    }
