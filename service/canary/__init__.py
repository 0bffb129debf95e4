"""The canary as an app: it enters by the door of every app, the entry point ``millrace.apps``.

It is there when ``MILLRACE_CANARY`` says how often. Clocks send its events and look for what became of them
(``service.telemetry.canary``).
"""
