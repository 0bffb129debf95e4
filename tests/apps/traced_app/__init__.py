"""An app for tests of traces: its handlers call another service, and hand their trace on."""
