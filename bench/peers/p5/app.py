"""The web application and the job queue of P5."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import procrastinate
from fastapi import Body, FastAPI
from psycopg_pool import AsyncConnectionPool

from bench.work import compute_order, orders_of

DATABASE_URL = os.environ["BENCH_DATABASE_URL"]

queue = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=DATABASE_URL, min_size=4, max_size=16),
    import_paths=["bench.peers.p5.app"],
)
pool = AsyncConnectionPool(DATABASE_URL, min_size=4, max_size=16, open=False)


@queue.task(name="process", queue="bench.p5")
async def process(order: dict[str, Any]) -> None:
    """Write one row. A job may run twice, so a second row of the same order is skipped."""
    await pool.open()  # Does nothing when it is open.
    async with pool.connection() as connection:
        await connection.execute(
            "insert into done (id, value) values (%s, %s) on conflict do nothing",
            (order["order"], compute_order(order)),
        )


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Connect the web process to the database."""
    async with queue.open_async():
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def post(body: Annotated[dict[str, Any] | list[dict[str, Any]], Body()]) -> dict[str, int]:
    """Take one order, or a list of them with one statement; answer when they are committed."""
    orders = orders_of(body)
    await process.batch_defer_async(*({"order": order} for order in orders))
    return {"taken": len(orders)}
