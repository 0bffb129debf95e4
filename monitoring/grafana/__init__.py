"""Dashboards for Grafana, as data: what each panel asks, what it tells, and when to worry.

``boards`` holds the six of them. From them come ``dashboards/*.json``, which Grafana loads, and
``docs/dashboards.md``::

    python -m monitoring.grafana
"""
