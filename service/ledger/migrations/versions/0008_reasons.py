"""Why things are paused, dead letters that were discarded, and when which version came."""

from alembic import op

revision = "0008"
down_revision = "0007"
phase = "pre"

PAUSABLE = ("types", "queues", "schedules")
DISCARDED = """
alter table millrace.dead
    add column discarded_at timestamptz,                 -- somebody has seen it, and nothing more shall come of it
    add column discarded_by text,
    add column discarded_because text
"""

# One row for each time that a kind of process comes in another version than the one before.
DEPLOYS = """
create table millrace.deploys (
    kind        text not null check (kind in ('web', 'worker', 'clock')),
    version     text not null,
    at          timestamptz not null default clock_timestamp(),
    primary key (kind, at, version)
)
"""


def upgrade() -> None:
    for table in PAUSABLE:
        op.execute(f"alter table millrace.{table} add column paused_because text")
    op.execute(DISCARDED)
    op.execute(DEPLOYS)


def downgrade() -> None:
    op.execute("drop table millrace.deploys")
    op.execute("alter table millrace.dead drop discarded_at, drop discarded_by, drop discarded_because")
    for table in PAUSABLE:
        op.execute(f"alter table millrace.{table} drop column paused_because")
