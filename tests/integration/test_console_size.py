"""The console on a ledger with much in it: every page within its time, and no question that grows with the table."""

from __future__ import annotations

import time

import pytest
from flask.testing import FlaskClient

from tests.front import Front
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = [pytest.mark.postgres, pytest.mark.heavy]

EVENTS = 200_000
BUDGET = 0.3  #: seconds of the server for a page, on a machine that has nothing else to do

#: Every hundredth event is a dead letter, every thousandth open; one is a week older than all others.
FILL = f"""
insert into millrace.events (id, type, state, payload, producer, accepted_at, finished_at, attempt, ticket_id, error)
select ('01' || lpad(to_hex(n / 4096 + 1700000000), 10, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8'
        || lpad(to_hex(n), 15, '0'))::uuid,
       'a.t' || n % 20, case when n % 100 = 0 then 'dead' when n % 1000 = 1 then 'pending' else 'succeeded' end,
       '{{"n": 1}}', 'test', now(), now(), 1,
       case when n % 1000 = 1 then ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid end,
       case when n % 100 = 0 then '{{"error": "KeyError", "message": "weight"}}'::jsonb end
from generate_series(1, {EVENTS}) n;
insert into millrace.dead (event_id, type, reason)
select id, type, 'attempts' from millrace.events where state = 'dead';
insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids)
select ticket_id, type, 'events', 'millrace.events', 'event.x', array[id] from millrace.events where state = 'pending';
insert into millrace.tallies (minute, type, word, n, queue, mark, seconds)
select date_trunc('minute', now()) - make_interval(mins => n % 2880), 'a.t' || n % 20,
       (array['accepted', 'done', 'retry', 'dead'])[1 + n % 4], 5, 'events', now(), 0.01
from generate_series(1, {EVENTS}) n;
insert into millrace.schedules (name, type, spec, next_due)
select 's.' || n, 'a.t1', '{{"type": "a.t1", "plan": {{"cron": "0 3 * * *", "tz": "Europe/Berlin"}}, "payload": {{}}}}',
       now() + make_interval(secs => n) from generate_series(1, 5000) n;
insert into millrace.slots (schedule, due_at, outcome, clock, event_id)
select 's.' || n % 5000 + 1, now() - make_interval(mins => n / 5000), 'fired', 'x:1', gen_random_uuid()
from generate_series(1, {EVENTS}) n;
analyze millrace.events; analyze millrace.dead; analyze millrace.tickets; analyze millrace.tallies;
analyze millrace.schedules; analyze millrace.slots;
"""

PATHS = (
    "/console", "/console/live/overview", "/console/events", "/console/events?type=a.t3&state=succeeded",
    "/console/events?state=pending", "/console/events?state=dead", "/console/events?producer=test", "/console/dead",
    "/console/dead?type=a.t0", "/console/live/dead", "/console/schedules", "/console/schedules/s.7", "/console/types",
    "/console/live/types", "/console/workers", "/console/live/workers", "/console/send", "/console/audit",
    "/console/keys", "/console/users", "/console/strays", "/console/first-run", "/v1/overview",
    "/v1/dead/groups", "/v1/clocks", "/v1/events?count=true",
)  # fmt: skip


@pytest.fixture
def client(database: str) -> FlaskClient:
    ledger = Ledger(database)
    for number in range(20):
        ledger.handler(f"a.t{number}", lambda payload, ctx: None)
    ledger.sql(FILL)
    return Front(ledger).client()


def test_every_page_is_there_within_its_time(client: FlaskClient) -> None:
    one = client.get("/v1/events?limit=1").get_json()["events"][0]["id"]
    slow = {}
    for path in (*PATHS, f"/console/events/{one}", f"/console/live/events?than={one}"):
        seconds = []
        for _ in range(3):
            begin = time.perf_counter()
            answer = client.get(path)
            seconds.append(time.perf_counter() - begin)
            assert answer.status_code in (200, 286), (path, answer.text[:500])
        if min(seconds) > BUDGET * PATIENCE:
            slow[path] = seconds
    assert not slow, slow
