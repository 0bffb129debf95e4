"""The peers: small applications of their own, written the way their own documentation advises.

They run from a virtual environment of their own (``bench/requirements.lock``) and read
``BENCH_DATABASE_URL`` and ``BENCH_BROKER_URL``.
"""
