"""Write the dashboards and their page anew."""

from __future__ import annotations

from monitoring.grafana import files

for path, content in files.all_of_them().items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
