"""The web application and the Celery application of P2t."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from kombu import Queue
from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import UUID, insert

from bench.work import compute_order, orders_of

QUEUE = "bench.p2t"

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["BENCH_DATABASE_URL"].replace(
    "postgresql://", "postgresql+psycopg2://", 1
)
db = SQLAlchemy(app)

celery = Celery("p2t", broker=os.environ["BENCH_BROKER_URL"])
celery.conf.update(
    task_default_queue=QUEUE,
    task_queues=[Queue(QUEUE, durable=True, queue_arguments={"x-queue-type": "quorum"})],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=32,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)


class Done(db.Model):  # type: ignore[name-defined, misc]
    """One finished order."""

    __tablename__ = "done"

    id = db.Column(UUID(as_uuid=False), primary_key=True)
    value = db.Column(BigInteger, nullable=False)


@celery.task
def process(order: dict[str, Any]) -> None:
    """Write one row. A task may run twice, so a second row of the same order is skipped."""
    row = insert(Done).values(id=order["order"], value=compute_order(order))
    with app.app_context():
        db.session.execute(row.on_conflict_do_nothing())
        db.session.commit()


@app.post("/orders")
def post() -> tuple[dict[str, int], int]:
    """Take one order, or a list of them; answer when the broker has confirmed all."""
    orders = orders_of(request.get_json())
    for order in orders:
        process.delay(order)
    return {"taken": len(orders)}, 202
