"""An app for tests with a handler that runs for long, outside the ledger's transaction."""

QUEUE = "reports"
