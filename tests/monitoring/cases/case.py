"""A case: what an alert is tried with.

Values are in promtool's short form: ``0+5x10`` begins at 0 and adds 5 ten times, ``_`` is no sample.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One story; a sample each 30 seconds."""

    alert: str
    series: dict[str, str]
    quiet: str = ""  #: when it must be silent, like ``2m``
    fires: str = ""  #: when it must tell; empty: a story that never comes to that
    labels: dict[str, str] = dataclasses.field(default_factory=dict)  #: of the alert, without its severity
    severity: str = "warning"
    says: str = ""  #: the description
