"""An app for tests of what comes in."""
