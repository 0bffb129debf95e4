"""Requests over HTTP as work: an app like any user's, so that a schedule is of use to people who write no Python.

Its type is ``http.request``, its queue ``http``. ``docs/webhooks.md`` tells of it.
"""
