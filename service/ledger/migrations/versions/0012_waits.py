"""How long what waits will take its workers, in seconds: what a door tells of an event's start. Null: unknown."""

from alembic import op

revision = "0012"
down_revision = "0011"
phase = "pre"


def upgrade() -> None:
    op.execute("alter table millrace.types add column wait real")  # Of one with a full window: all that waits.
    op.execute("alter table millrace.queues add column wait real")  # What is with the broker.


def downgrade() -> None:
    op.execute("alter table millrace.queues drop column wait")
    op.execute("alter table millrace.types drop column wait")
