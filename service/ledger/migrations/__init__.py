"""The versions of the ledger's schema (alembic)."""
