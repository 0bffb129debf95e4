"""Keeping the ledger in order, as an app: it enters by the door of every app, the entry point ``millrace.apps``.

Its schedules are seen, run and paused like any other; their events ask the clocks, which have the right to do the work.
"""
