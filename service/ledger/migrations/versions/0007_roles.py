"""A clock that may make partitions without owning the ledger: its role may call the one function that does it.

Who calls it does the owner's work, so nobody may by default, and it finds no names but those it was written with.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
phase = "pre"


def upgrade() -> None:
    op.execute(
        "alter function millrace.make_partitions(integer) security definer set search_path = pg_catalog, pg_temp"
    )
    op.execute("revoke execute on function millrace.make_partitions(integer) from public")


def downgrade() -> None:
    op.execute("grant execute on function millrace.make_partitions(integer) to public")
    op.execute("alter function millrace.make_partitions(integer) security invoker reset search_path")
