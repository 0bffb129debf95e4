"""The tables of this application. They live in the ledger's database, in a schema of their own."""

from __future__ import annotations

import datetime
import decimal

import sqlalchemy as sa
from sqlalchemy import orm

from numbers_app import jobs

SCHEMA = "numbers"


class Base(orm.DeclarativeBase):
    """The tables, apart from those of the core and of other packages."""

    metadata = sa.MetaData(schema=SCHEMA)


class Request(Base):
    """A list of numbers that a client has sent."""

    __tablename__ = "requests"

    #: The client's own number for the list; the key, so that a second request with it finds it taken.
    rid: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    stored_at: orm.Mapped[datetime.datetime] = orm.mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now()
    )


class Number(Base):
    """One place in a list: number, job, and the job's result. A number may stand in a list twice."""

    __tablename__ = "numbers"
    __table_args__ = (
        sa.UniqueConstraint("rid", "position"),
        sa.CheckConstraint(sa.column("job").in_(jobs.WORDS), name="numbers_job"),
        # What is open is found without looking at what is done, however much that has become.
        sa.Index("numbers_open", "job", "id", postgresql_where=sa.text("job in ('sum', 'mul')")),
    )

    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    rid: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(Request.rid, ondelete="cascade"))
    position: orm.Mapped[int]  #: place in the list, from 0
    value: orm.Mapped[decimal.Decimal]  #: integers and decimal fractions, exactly
    job: orm.Mapped[str] = orm.mapped_column(sa.Text)  #: a word of ``jobs.WORDS``
    result: orm.Mapped[decimal.Decimal | None]  #: what the job made of the value
