"""The one place that wires: settings and apps in, the objects of a process out.

Nothing here connects. Each process of Millrace begins with one of these functions.
"""

from service.bootstrap.brokers import (
    apply_topology,
    broker,
    definitions,
    policies,
    replace_queues,
    topology_broker,
)
from service.bootstrap.clocks import ClockRoad, clock, handled, retention
from service.bootstrap.doors import WebRoad, door_here, web
from service.bootstrap.hands import WorkRoad, executor, worker
from service.bootstrap.notes import noter, noter_of
from service.bootstrap.operators import Operations, bundle_of, operations, operations_here
from service.bootstrap.showing import end_traces, trace, watch
from service.bootstrap.start import (
    MISCONFIGURED,
    check,
    check_or_wait,
    exit_code,
    explain,
    give_up,
    prepare,
    settle_memory,
)

__all__ = [
    "MISCONFIGURED",
    "ClockRoad",
    "Operations",
    "WebRoad",
    "WorkRoad",
    "apply_topology",
    "broker",
    "bundle_of",
    "check",
    "check_or_wait",
    "clock",
    "definitions",
    "door_here",
    "end_traces",
    "executor",
    "exit_code",
    "explain",
    "give_up",
    "handled",
    "noter",
    "noter_of",
    "operations",
    "operations_here",
    "policies",
    "prepare",
    "replace_queues",
    "retention",
    "settle_memory",
    "topology_broker",
    "trace",
    "watch",
    "web",
    "worker",
]
