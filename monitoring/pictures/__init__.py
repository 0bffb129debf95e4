"""Dashboards drawn without Grafana: panels and Prometheus' answers to their questions become a page of SVG."""
