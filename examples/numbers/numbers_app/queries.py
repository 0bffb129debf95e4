"""The bulk statements. A list travels as one value, and no statement is sent once per number."""

from __future__ import annotations

import dataclasses
import decimal
import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from numbers_app import jobs, models

#: Numbers that one statement of the periodic work takes: some 100 ms.
CHUNK = 10_000

_requests = models.Base.metadata.tables["numbers.requests"]
_numbers = models.Base.metadata.tables["numbers.numbers"]


def store(session: orm.Session, rid: int, values: Sequence[int | float], words: Sequence[str]) -> bool:
    """Store a list under ``rid``; False, and nothing changed, if there is one already."""
    new = postgresql.insert(_requests).values(rid=rid).on_conflict_do_nothing().returning(_requests.c.rid)
    if session.execute(new).first() is None:
        return False
    rows = _table(value=(values, sa.Numeric), job=(words, sa.Text))
    places = sa.select(sa.literal(rid, sa.BigInteger), rows.c.place - 1, rows.c.value, rows.c.job).order_by(
        rows.c.place
    )
    session.execute(sa.insert(_numbers).from_select(["rid", "position", "value", "job"], places))
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """One place of a stored list."""

    id: int
    value: decimal.Decimal
    job: str  #: a word of ``jobs.WORDS``
    result: decimal.Decimal | None


def read(session: orm.Session, rid: int) -> list[Place] | None:
    """The places of a list, in its order; None if there is no such list."""
    if session.get(models.Request, rid) is None:
        return None
    place = _numbers.c
    found = sa.select(place.id, place.value, place.job, place.result).where(place.rid == rid).order_by(place.position)
    return [Place(*row) for row in session.execute(found)]


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown:
    """An id that names no number, or another number than was said."""

    id: int
    said: decimal.Decimal
    found: decimal.Decimal | None


def update(
    session: orm.Session, ids: Sequence[int], values: Sequence[int | float], words: Sequence[str],
    results: Sequence[int | float | None],
) -> Unknown | None:  # fmt: skip
    """Set word and result of the numbers with these ids; or change nothing, and say what is wrong."""
    rows = _table(
        id=(ids, sa.BigInteger), value=(values, sa.Numeric), job=(words, sa.Text), result=(results, sa.Numeric)
    )
    # Locked in the order of the ids, so that two updates cannot wait for each other in a circle.
    session.execute(
        sa.select(_numbers.c.id)
        .where(_numbers.c.id.in_(sa.select(rows.c.id)))
        .order_by(_numbers.c.id)
        .with_for_update()
    ).close()
    wrong = (
        sa.select(rows.c.id, rows.c.value, _numbers.c.value)
        .select_from(rows.outerjoin(_numbers, _numbers.c.id == rows.c.id))
        .where(_numbers.c.value.is_distinct_from(rows.c.value))
    )
    if (first := session.execute(wrong.order_by(rows.c.place).limit(1)).first()) is not None:
        return Unknown(*first)
    session.execute(sa.update(_numbers).where(_numbers.c.id == rows.c.id).values(job=rows.c.job, result=rows.c.result))
    return None


def work_off(session: orm.Session, job: jobs.Job, *, seconds: float) -> tuple[int, bool]:
    """Do the open jobs of one word, for about ``seconds``: (how many, whether that was all)."""
    until = time.monotonic() + seconds
    worked = after = 0
    while time.monotonic() < until:
        count, last = session.execute(_chunk(job, after)).one()
        worked += count
        if count < CHUNK:
            return worked, True
        after = last
    return worked, False


def open_jobs(session: orm.Session) -> int:
    """How many numbers wait for their job."""
    return session.scalar(sa.select(sa.func.count()).where(_numbers.c.job.in_([*jobs.Job]))) or 0


def _chunk(job: jobs.Job, after: int) -> sa.Select[int, int]:
    # What another worker holds is skipped and not waited for: two workers share the open numbers,
    # and never take the same one. Going on after the last id spares the walk over what is done.
    number = _numbers.c
    taken = (
        sa.select(number.id)
        .where(number.job == str(job), number.id > after)
        .order_by(number.id)
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
        .cte("taken")
    )
    done = (
        sa.update(_numbers)
        .where(number.id == taken.c.id)
        .values(job=job.done, result=job.result(number.value))
        .returning(number.id)
        .cte("done")
    )
    last = sa.func.coalesce(sa.func.max(done.c.id), after)
    return sa.select(sa.func.count(), last).select_from(done)


def _table(**columns: tuple[Sequence[Any], Any]) -> sa.TableValuedAlias:
    """Lists of one length as a table, with the column ``place`` from 1."""
    arrays = [sa.cast(sa.literal(_array(items), sa.Text), postgresql.ARRAY(kind)) for items, kind in columns.values()]
    typed = [sa.column(name, kind) for name, (_, kind) in columns.items()]
    return sa.func.unnest(*arrays).table_valued(*typed, with_ordinality="place", name="given").render_derived()


def _array(items: Iterable[Any]) -> str:
    # As text: PostgreSQL reads it far faster than an expression with a hundred thousand members.
    # Only checked numbers and words come here, and nothing in them needs quotes.
    return "{" + ",".join("null" if item is None else str(item) for item in items) + "}"
