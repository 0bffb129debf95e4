"""How many events of a type may be out, by how long they take and how many hands there are."""

from alembic import op

revision = "0006"
down_revision = "0005"
phase = "pre"


def upgrade() -> None:
    op.execute("alter table millrace.types add column most_out integer")  # Null: the setting alone.


def downgrade() -> None:
    op.execute("alter table millrace.types drop column most_out")
