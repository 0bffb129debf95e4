"""Which code runs, and which code may: by these two it is decided when a migration may take something away."""

from alembic import op

revision = "0010"
down_revision = "0009"
phase = "pre"

# The newest migration that a process's code brings. Null: its code is older than this column.
RUNS = "alter table millrace.processes add column schema text"

# The oldest code that may run, named by the newest migration it brings. A `post` migration raises it.
MAY_RUN = """
create table millrace.compatibility (
    single      boolean primary key default true check (single),
    oldest      text not null
);
insert into millrace.compatibility (oldest) values ('0000')
"""


def upgrade() -> None:
    op.execute(RUNS)
    op.execute(MAY_RUN)


def downgrade() -> None:
    op.execute("drop table millrace.compatibility")
    op.execute("alter table millrace.processes drop column schema")
