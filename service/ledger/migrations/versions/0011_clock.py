"""Why a schedule cannot be fired, kept with it; held slots are found without looking at every schedule."""

from alembic import op

revision = "0011"
down_revision = "0010"
phase = "pre"


def upgrade() -> None:
    op.execute("alter table millrace.schedules add column error text")
    op.execute("create index schedules_held on millrace.schedules (name) where held is not null")


def downgrade() -> None:
    op.execute("drop index millrace.schedules_held")
    op.execute("alter table millrace.schedules drop column error")
