"""Ingest: what comes in at the door, and gets to the broker?"""

from __future__ import annotations

from monitoring.grafana.ask import TYPE as OF_TYPE
from monitoring.grafana.ask import heat, quantile, rate, ratio, top
from monitoring.grafana.boards import faults
from monitoring.grafana.model import GREEN, JOB, ORANGE, RED, ROUTE, TYPE, YELLOW, Board, Kind, Limit, Panel, Query, Row

REQUESTS = "millrace_http_requests_total"
DURATION = "millrace_http_request_duration_seconds"
ACCEPTED = "millrace_events_accepted_total"
PUBLISHED = "millrace_tickets_published_total"
PUBLISHING = "millrace_publish_duration_seconds"
OF_ROUTE = 'route=~"$route"'
QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
NO_TRAFFIC = "nobody posted in the time that is looked at"

REQUEST = Row(
    "Requests",
    (
        Panel(
            "Requests by answer",
            "HTTP requests by status code, per second.",
            "503: the answer says whether the event may be stored; clients try again. 4xx: a producer is wrong.",
            Kind.GRAPH, "reqps", (Query(rate(REQUESTS, OF_ROUTE, by="code"), "{{code}}"),), stacked=True,
        ),
        Panel(
            "Time to an answer",
            "Quantiles over all chosen routes. A post waits for its commit, so this is the ledger's time too.",
            "p99 above 1 s: the ledger's disk is slow, or threads wait for their turn. 3 s is the deadline.",
            Kind.GRAPH, "s", tuple(Query(quantile(q, DURATION, OF_ROUTE), name) for q, name in QUANTILES),
            (Limit(1, ORANGE), Limit(3, RED)), quiet=NO_TRAFFIC,
        ),
        Panel(
            "Spread of the time to an answer",
            "How many requests took how long: each cell is a bucket.",
            "Two bands instead of one: some requests wait for something that others do not, such as a lock.",
            Kind.HEAT, "s", (Query(heat(DURATION, OF_ROUTE)),),
        ),
        Panel(
            "Slowest routes",
            "The 99th percentile, by route.",
            "Only `/v1/events/<type>` is on the road; a slow list page is a person's own question.",
            Kind.GRAPH, "s", (Query(top(8, quantile(0.99, DURATION, OF_ROUTE, by="route")), "{{route}}"),),
            (Limit(1, ORANGE), Limit(3, RED)), width=12, quiet=NO_TRAFFIC,
        ),
        Panel(
            "Busiest routes",
            "Requests per second, by route.",
            "A health check that asks often is fine; a client that polls an event should use `Prefer: wait`.",
            Kind.GRAPH, "reqps", (Query(top(8, rate(REQUESTS, OF_ROUTE, by="route")), "{{route}}"),), width=12,
        ),
    ),
)  # fmt: skip

EVENTS = Row(
    "Events",
    (
        Panel(
            "Events by outcome",
            "Events that were asked to be accepted. `duplicate` repeats an idempotency key, `conflict` uses it for"
            " another body, `invalid` does not fit its type, `unavailable` got a 503.",
            "`unavailable`: our fault. `invalid` and `conflict`: tell the producer.",
            Kind.GRAPH, "suffix: ev/s", (Query(rate(ACCEPTED, OF_TYPE, by="outcome"), "{{outcome}}"),), stacked=True,
        ),
        Panel(
            "Refused by our fault",
            "The share of events that could not be stored, of those that should have been.",
            "Any: see the connections on the overview. Clients hold these events now, and come back.",
            Kind.GRAPH, "percentunit",
            (
                Query(
                    ratio(
                        rate(ACCEPTED, OF_TYPE, 'outcome="unavailable"'),
                        rate(ACCEPTED, OF_TYPE, 'outcome=~"accepted|duplicate|unavailable"'),
                    ),
                    "unavailable",
                ),
            ),
            (Limit(0.0005, ORANGE), Limit(0.01, RED)), top=1, quiet=NO_TRAFFIC,
        ),
        Panel(
            "Accepted by type",
            "The ten types that come most.",
            "One that falls to nothing: its producer has stopped. One that jumps: a loop, or a campaign.",
            Kind.GRAPH, "suffix: ev/s",
            (Query(top(10, rate(ACCEPTED, OF_TYPE, 'outcome="accepted"', by="type")), "{{type}}"),),
            stacked=True,
        ),
    ),
)  # fmt: skip

PUBLISH = Row(
    "To the broker",
    (
        Panel(
            "Tickets published",
            "Tickets given to the broker, by web processes and clocks. What is not confirmed stays due.",
            "`unavailable`: the broker is away or blocks. Nothing is lost, but nothing is worked either.",
            Kind.GRAPH, "suffix: tickets/s", (Query(rate(PUBLISHED, by="outcome"), "{{outcome}}"),), stacked=True,
        ),
        Panel(
            "Time to the confirm",
            "From a batch's first ticket to its last confirm, or to the failure.",
            "Above 0.5 s: the broker's disk is slow, or a quorum queue has lost a member.",
            Kind.GRAPH, "s", tuple(Query(quantile(q, PUBLISHING), name) for q, name in QUANTILES),
            (Limit(0.5, ORANGE), Limit(5, RED)), quiet=NO_TRAFFIC,
        ),
        Panel(
            "Events to a ticket",
            "How many events ride on one ticket, on average, as workers take them.",
            "It grows with the load; that is what makes the road fast. At 1 under load: a type has `bundle=1`.",
            Kind.GRAPH, "short",
            (
                Query(
                    ratio(
                        rate("millrace_events_started_total", OF_TYPE),
                        rate("millrace_tickets_started_total", OF_TYPE),
                    ),
                    "events",
                ),
            ),
            quiet=NO_TRAFFIC,
        ),
        Panel(
            "By exchange",
            "Tickets that were confirmed, by exchange: of events, and of ticks.",
            "Ticks stop while events go on: see Schedules.",
            Kind.GRAPH, "suffix: tickets/s",
            (Query(rate(PUBLISHED, 'outcome="confirmed"', by="exchange"), "{{exchange}}"),), width=12,
        ),
        Panel(
            "File descriptors",
            "The share of the allowed file descriptors that the fullest process of each job uses.",
            "Near 100 %: it can take no more connections. Raise `LimitNOFILE`, then look for who leaves them open.",
            Kind.GRAPH, "percentunit",
            (
                Query(
                    'max by (job) (process_open_fds{job=~"$job"} / process_max_fds{job=~"$job"})',
                    "{{job}}",
                ),
            ),
            (Limit(0.7, YELLOW), Limit(0.9, RED)), ground=GREEN, width=12, top=1,
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "millrace-ingest",
    "Millrace / Ingest",
    "What comes in at the door, and does it get to the broker?",
    "Open it when clients complain, or when `accepted` on the overview is not what it should be.",
    (REQUEST, EVENTS, faults.ACCESS, PUBLISH),
    (JOB, ROUTE, TYPE),
)
