"""The chart of how long tickets had waited when their turn came."""

from __future__ import annotations

import pytest

from service.ledger.figures import Figures
from service.web.console import overview
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

WORKED = """
insert into millrace.tallies (minute, type, word, n, queue, mark)
select date_trunc('minute', now()) - ago * interval '1 minute', 'a.b', 'done', 1, queue,
       date_trunc('minute', now()) - ago * interval '1 minute' - waited * interval '1 second'
from (values (5, 'events', 400.0), (5, 'reports', 90.0), (7, 'reports', 200.0), (9, 'events', -30.0))
     as w (ago, queue, waited)
"""


def test_each_minute_has_the_worst_wait_and_its_queue(database: str) -> None:
    ledger = Ledger(database)
    ledger.sql(WORKED)
    ledger.sql(
        "insert into millrace.tallies (minute, type, word, n) values (date_trunc('minute', now()), 'a.b', 'late', 1)"
    )
    look = Figures(ledger.engine)
    for _ in range(2):  # Read, and then kept.
        flow = look._ask_flow()
        found = {n: one for n, one in enumerate(flow.waited()[::-1]) if one[1] is not None}
        # The minute may have turned since.
        assert [one for _, one in sorted(found.items())] == [(400.0, "events"), (200.0, "reports"), (0.0, "events")]
        assert flow.total("done") == 4


def test_the_overview_says_where_it_was_worst(database: str) -> None:
    ledger = Ledger(database)
    look = Figures(ledger.engine)
    assert "less than a minute" in overview_of(look)
    ledger.sql(WORKED)
    assert overview_of(Figures(ledger.engine)).endswith("6 min 40 s, in the queue events.")


def overview_of(look: Figures) -> str:
    import flask

    with flask.Flask(__name__).test_request_context():
        return str(overview.age(look.flow())["told"])
