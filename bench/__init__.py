"""The benchmark: Millrace and two peers do the same work on the same servers, one after another.

``python -m bench quick`` measures, ``python -m bench list`` says who takes part, and
``python -m bench report FILE.json`` writes the page of the documentation.

A measurement walks ``quick`` (all rounds) → ``measure`` (one round) → ``contestants`` (commands),
``processes``, ``servers``, ``load`` (and ``load.c``), ``usage`` (CPU and memory), ``work`` (the check
of every row) → ``figures`` → ``terminal`` or ``report``.

Peers import this package from their own virtual environment: this file, :mod:`bench.work` and
the peers' folders import nothing but the standard library and the peers' own packages.
"""
