"""Requests and their numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Written out, and not taken from the models: a migration must do tomorrow what it did today.
WORDS = ("sum", "sum_Doing", "sum_Done", "mul", "mul_Doing", "mul_Done")


def upgrade() -> None:
    op.execute("create schema if not exists numbers")
    op.create_table(
        "requests",
        sa.Column("rid", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        schema="numbers",
    )
    op.create_table(
        "numbers",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("rid", sa.BigInteger, sa.ForeignKey("numbers.requests.rid", ondelete="cascade"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("value", sa.Numeric, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("result", sa.Numeric),
        sa.UniqueConstraint("rid", "position"),
        sa.CheckConstraint(sa.column("job").in_(WORDS), name="numbers_job"),
        schema="numbers",
    )
    op.create_index(
        "numbers_open", "numbers", ["job", "id"], schema="numbers",
        postgresql_where=sa.text("job in ('sum', 'mul')"),
    )  # fmt: skip


def downgrade() -> None:
    op.execute("drop schema numbers cascade")
