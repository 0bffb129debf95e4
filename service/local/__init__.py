"""Servers and processes on this machine: private PostgreSQL and RabbitMQ nodes, and what watches over them.

It is what `millrace up`, `millrace stack` and the tests stand on. Production runs its own servers and
its own process manager; nothing on the road imports this package.
"""
