"""The web application and the Celery application of P1."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import UUID

from bench.work import compute_order, orders_of

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["BENCH_DATABASE_URL"].replace(
    "postgresql://", "postgresql+psycopg2://", 1
)
db = SQLAlchemy(app)

celery = Celery("p1", broker=os.environ["BENCH_BROKER_URL"])
celery.conf.update(task_default_queue="bench.p1", broker_connection_retry_on_startup=True)


class Done(db.Model):  # type: ignore[name-defined, misc]
    """One finished order."""

    __tablename__ = "done"

    id = db.Column(UUID(as_uuid=False), primary_key=True)
    value = db.Column(BigInteger, nullable=False)


@celery.task
def process(order: dict[str, Any]) -> None:
    """Write one row."""
    with app.app_context():
        db.session.add(Done(id=order["order"], value=compute_order(order)))
        db.session.commit()


@app.post("/orders")
def post() -> tuple[dict[str, int], int]:
    """Take one order, or a list of them; answer when they have been written to the broker's socket."""
    orders = orders_of(request.get_json())
    for order in orders:
        process.delay(order)
    return {"taken": len(orders)}, 202
