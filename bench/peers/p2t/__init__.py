"""P2t: Flask and Celery, hardened so that no task is lost, and then tuned for speed.

Hardened: publisher confirms, late acknowledgement, rejection when a worker is lost, a durable
quorum queue, no results. Tuned, each by measurement: granian in place of gunicorn, four worker
processes, prefetch 32, no gossip and no mingle.
"""
