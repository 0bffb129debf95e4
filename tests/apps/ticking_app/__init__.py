"""An app for tests of clocks: a tick each second."""
