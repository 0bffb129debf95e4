"""Measuring one contestant under one shape of load."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from bench import figures, usage, work
from bench.errors import BenchError
from bench.shapes import Shape
from bench.stage import Stage

#: Seconds after the last row in which late acknowledgements and the like still count as CPU.
AFTERMATH = 0.5
#: Seconds of the same load before a measurement, and the most orders in them.
WARM_UP_SECONDS, WARM_UP_ORDERS = 0.7, 500

#: Says what is being done right now.
Tell = Callable[[str], None]


def warm_up_of(shape: Shape) -> Shape:
    """A short load of the same shape: every connection posts, as far as that is no work for minutes."""
    orders = min(max(WARM_UP_ORDERS, 2 * shape.connections * shape.batch), 2 * WARM_UP_ORDERS)
    return dataclasses.replace(shape, seconds=WARM_UP_SECONDS, orders=orders, rate=0.0)


def measure(stage: Stage, shape: Shape, tell: Tell) -> figures.Figures:
    """Warm the contestant up, measure it, and recompute every row."""
    tell("warming up")
    stage.warm_up(warm_up_of(shape))
    stage.rows.clear()
    usage.forget_peaks(stage.pids)
    tell("posting orders")
    own_start = time.process_time()
    meter = usage.Meter(stage.groups)
    load = stage.post(shape)
    tell("waiting for the last row")
    stage.rows.wait_for(load.accepted, stage.check)
    time.sleep(AFTERMATH)
    spent, machine_spent = meter.spent(), meter.machine_spent()
    own_spent = time.process_time() - own_start
    tell("recomputing every row")
    rows = list(stage.rows.all())
    check = work.check(((id_, value) for id_, value, _ in rows), load.prefix, load.sent, load.refused)
    if not check.committed:
        raise BenchError("no order was committed")
    return figures.from_round(
        load,
        check,
        committed_at={work.order_number(id_): at for id_, _, at in rows if work.order_prefix(id_) == load.prefix},
        spent=spent,
        machine_spent=machine_spent,
        own_spent=own_spent,
        memory_mb=usage.peak_memory(stage.pids),
    )
