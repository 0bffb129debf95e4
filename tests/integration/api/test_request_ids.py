"""Request ids: kept, made, stored, and in the log lines of their request alone."""

from __future__ import annotations

import json
import logging
import re

import pytest

from service.telemetry import lines, masking
from tests.answers import problem
from tests.integration.api.doors import Api

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("given", ["r-1", "A.b_c:d-9", "x" * 128])
def test_a_request_id_is_kept_and_stored(shared: Api, given: str) -> None:
    answer = shared.post(1, X_Request_Id=given)
    assert answer.headers["X-Request-Id"] == given
    assert shared.show(json.loads(answer.data)["id"])["request_id"] == given
    refused = shared.client.get("/nope", headers={"X-Request-Id": given})
    assert problem(refused, 404)["instance"] == given


@pytest.mark.parametrize("given", ["", " ", "two words", "x" * 129, "é", "<b>", 'a"b', "a\tb", "%0a"])
def test_a_request_id_that_is_not_sane_is_replaced(shared: Api, given: str) -> None:
    answer = shared.post(1, X_Request_Id=given)
    made = answer.headers["X-Request-Id"]
    assert made != given
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert shared.show(json.loads(answer.data)["id"])["request_id"] == made
    assert shared.post(1).headers["X-Request-Id"] != made


def test_a_request_id_is_in_no_line_after_its_request(shared: Api) -> None:
    shared.post(1, X_Request_Id="r-1")
    line = lines.Json("web", masking.Mask()).format(logging.makeLogRecord({"msg": "later"}))
    assert "request_id" not in json.loads(line)
