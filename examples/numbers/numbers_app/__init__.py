"""The numbers application: an ordinary user package.

It has handlers, schedules, views, models and migrations, and enters by the same doors as any other.
"""
