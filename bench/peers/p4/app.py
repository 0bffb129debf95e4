"""The web application and the taskiq broker of P4."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Body, FastAPI
from taskiq import TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

from bench.work import compute_order, orders_of

broker = AioPikaBroker(os.environ["BENCH_BROKER_URL"], qos=100).with_queue(
    Queue(name="bench.p4", type=QueueType.QUORUM)
)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_pool(state: TaskiqState) -> None:
    """Open the worker's database connections."""
    state.pool = await asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=8, max_size=16)


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_pool(state: TaskiqState) -> None:
    """Close the worker's database connections."""
    await state.pool.close()


@broker.task(task_name="process")
async def process(order: dict[str, Any]) -> None:
    """Write one row. A task may run twice, so a second row of the same order is skipped."""
    await broker.state.pool.execute(
        "insert into done (id, value) values ($1, $2) on conflict do nothing",
        order["order"],
        compute_order(order),
    )


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connect the web process to the broker."""
    await broker.startup()
    yield
    await broker.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def post(body: Annotated[dict[str, Any] | list[dict[str, Any]], Body()]) -> dict[str, int]:
    """Take one order, or a list of them; answer when the broker has confirmed all."""
    orders = orders_of(body)
    await asyncio.gather(*(process.kiq(order) for order in orders))
    return {"taken": len(orders)}
