"""An app for tests of traces: its handlers call another service, and hand their trace on."""

from service.telemetry import tracing
from tests.patience import PATIENCE

# The receiver of a test may stand still for longer than the end of a process waits for its last spans.
tracing.FLUSH = 2.0 * PATIENCE
