"""How long the handler of a type runs, measured: bundles are sized by it."""

from alembic import op

revision = "0003"
down_revision = "0002"
phase = "pre"


def upgrade() -> None:
    op.execute("alter table millrace.tallies add column seconds real")  # That handlers ran for what the row counts.
    op.execute("alter table millrace.types add column pace real")  # Seconds for each event, of late.
    op.execute("insert into millrace.duties (name) values ('paces') on conflict do nothing")


def downgrade() -> None:
    op.execute("delete from millrace.duties where name = 'paces'")
    op.execute("alter table millrace.types drop column pace")
    op.execute("alter table millrace.tallies drop column seconds")
