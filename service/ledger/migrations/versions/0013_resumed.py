"""Since when a type may go on after a pause: what an operator had wait was not late."""

from alembic import op

revision = "0013"
down_revision = "0012"
phase = "pre"


def upgrade() -> None:
    op.execute("alter table millrace.types add column resumed_at timestamptz")  # Or its queue; the latest.


def downgrade() -> None:
    op.execute("alter table millrace.types drop column resumed_at")
