"""An operator's night on a running stack: pause, look, cancel, resume, replay."""

from __future__ import annotations

import time
from typing import Any

#: Lists that no other test has, in this run or before.
RID = time.time_ns() // 1000 - 10**9


def post(stack: Any, number: int) -> str:
    payload = {"rid": RID + number, "numbers": [51, 52, 53], "jobtodo": ["sum", "mul", "sum"]}
    status, accepted = stack.http("POST", "/v1/events/numbers.requested", json=payload)
    assert status == 202
    return str(accepted["id"])


def event(stack: Any, event_id: str) -> dict[str, Any]:
    status, found = stack.http("GET", f"/v1/events/{event_id}")
    assert status == 200
    return dict(found)


def test_a_paused_type_waits_is_cancelled_in_part_and_goes_on(stack: Any) -> None:
    assert stack.http("POST", "/v1/types/numbers.requested/pause")[0] == 200
    try:
        first, second = post(stack, 1), post(stack, 2)
        # Longer than the head start of the door, after which the clock would publish.
        stack.wait(lambda: stack.http("GET", "/v1/pauses")[1]["pauses"], within=5)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert (event(stack, first)["state"], event(stack, first)["reason"]) == ("pending", "paused")
            time.sleep(0.2)
        assert stack.http("POST", f"/v1/events/{second}/cancel") == (
            200,
            {"id": second, "state": "cancelled", "links": {"self": f"/v1/events/{second}"}},
        )
    finally:
        assert stack.http("POST", "/v1/types/numbers.requested/resume")[1]["was_paused"] is True
    stack.wait(lambda: event(stack, first)["state"] == "succeeded", within=15)
    assert event(stack, second)["state"] == "cancelled"
    assert stack.http("POST", f"/v1/events/{first}/cancel")[0] == 409
    assert stack.http("POST", f"/v1/events/{first}/replay")[0] == 409
    assert stack.http("POST", "/v1/replay?type=numbers.requested&dry_run=1")[0] == 200
