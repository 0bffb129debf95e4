"""Why a schedule cannot be fired, and which slots are held; that ticks expire is a duty."""

from alembic import op

revision = "0011"
down_revision = "0010"
phase = "pre"


def upgrade() -> None:
    op.execute("alter table millrace.schedules add column error text")
    op.execute("create index schedules_held on millrace.schedules (name) where held is not null")
    op.execute("insert into millrace.duties (name) values ('expiry')")


def downgrade() -> None:
    op.execute("delete from millrace.duties where name = 'expiry'")
    op.execute("drop index millrace.schedules_held")
    op.execute("alter table millrace.schedules drop column error")
