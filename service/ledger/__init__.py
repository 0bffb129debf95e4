"""How we remember: everything that is written in SQL stands in this folder.

The statements work through pgbouncer in transaction mode: no LISTEN, no session locks, no session settings.
"""
