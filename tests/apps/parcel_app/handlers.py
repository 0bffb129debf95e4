"""What a parcel service does all day."""

from __future__ import annotations

import random
import time
from typing import Any

import pydantic

from workers import Backoff, Context, Objective, handler


class GatewayUnavailable(Exception):
    """The gateway for SMS does not answer."""


class Notification(pydantic.BaseModel):
    """Whom to tell, and of what."""

    order_id: int
    channel: str = "sms"
    template: str = "shipped"
    phone: str = ""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"examples": [{"order_id": 88213, "channel": "sms", "template": "shipped"}]}
    )


@handler("parcels.scanned", objective=Objective(start="5s", p=0.99, success=0.999))
def scanned(payload: Any, ctx: Context) -> dict[str, Any]:
    """Note where a parcel was seen."""
    return {"seen": payload.get("depot", "on the road")}


@handler(
    "customers.notified",
    payload=Notification,
    attempts=4,
    backoff=Backoff(base=2.0, cap=20.0),
    objective=Objective(start="30s", p=0.95, success=0.99),
)
def notified(payload: Notification, ctx: Context) -> str:
    """Tell a customer that a parcel is on its way."""
    time.sleep(0.01)
    if random.random() < 0.45:
        raise GatewayUnavailable("503 Service Unavailable from sms.example.net")
    return "sent"


@handler("labels.requested", attempts=1)
def label(payload: Any, ctx: Context) -> str:
    """Print a label."""
    return f"{payload['weight_g']} g"


@handler("addresses.geocoded")
def geocoded(payload: Any, ctx: Context) -> str:
    """Find an address on the map."""
    return "found"


@handler("invoices.issued", objective=Objective(start="1m", p=0.99, success=0.999))
def issued(payload: Any, ctx: Context) -> str:
    """Write an invoice."""
    time.sleep(0.02)
    return "issued"


@handler("reports.compiled", detached=True, queue="reports")
def compiled(payload: Any, ctx: Context) -> str:
    """Compile a report, week by week."""
    for week in range(52):
        ctx.progress(week / 52, f"week {week + 1}")
        time.sleep(5)
    return "compiled"


@handler("settlements.closed")
def closed(payload: Any, ctx: Context) -> str:
    """Close the day's books."""
    return "closed"
