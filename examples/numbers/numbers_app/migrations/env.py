"""Alembic's entry: the connection comes from `millrace migrate`."""

from service.ledger import migrate

migrate.run_here()
