"""Millrace: takes an event over HTTP, or a tick from a schedule, and sees to it that it is worked exactly once."""

__version__ = "0.1.0"
