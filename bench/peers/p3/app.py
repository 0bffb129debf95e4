"""The web application and the actor of P3."""

from __future__ import annotations

import os
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from flask import Flask, request
from sqlalchemy import create_engine, text

from bench.work import compute_order, orders_of

dramatiq.set_broker(RabbitmqBroker(url=os.environ["BENCH_BROKER_URL"], confirm_delivery=True))
engine = create_engine(
    os.environ["BENCH_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://", 1), pool_size=16
)
INSERT = text("insert into done (id, value) values (:id, :value) on conflict do nothing")


@dramatiq.actor(queue_name="bench.p3")
def process(order: dict[str, Any]) -> None:
    """Write one row. An actor may run twice, so a second row of the same order is skipped."""
    with engine.begin() as connection:
        connection.execute(INSERT, {"id": order["order"], "value": compute_order(order)})


app = Flask(__name__)


@app.post("/orders")
def post() -> tuple[dict[str, int], int]:
    """Take one order, or a list of them; answer when the broker has confirmed all."""
    orders = orders_of(request.get_json())
    for order in orders:
        process.send(order)
    return {"taken": len(orders)}, 202
