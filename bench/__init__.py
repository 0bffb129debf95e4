"""The benchmark: Millrace and its peers do the same work on the same servers, one after another.

``python -m bench list`` says who takes part and which profiles there are, ``python -m bench run PROFILE`` measures
one, ``backlog`` and ``soak`` measure what their names say, and ``report`` writes the measured parts of the docs.

A measurement walks ``run`` (all rounds of a ``profiles`` entry) → ``stage`` (one life of a contestant: ``contestants``,
``processes``, ``servers``) → ``measure`` (one of the ``shapes`` of load: ``load`` with ``load.c``; ``usage`` for CPU
and memory; ``database`` for rows and the instants of their commits; ``work`` for the check of every row) →
``figures`` → ``results`` → ``terminal``, ``bars``, ``kept``, ``compare``, ``report``.

Peers import this package from their own virtual environment: this file, :mod:`bench.work` and
the peers' folders import nothing but the standard library and the peers' own packages.
"""
