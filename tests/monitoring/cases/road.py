"""The road: the door, the canary, what waits, what is not published."""

from __future__ import annotations

from tests.monitoring.cases.case import Case

WAITS = 'millrace_oldest_waiting_seconds{instance="c",queue="events",type="a.b"}'
OURS = 'millrace_queue_info{vhost="/",queue="%s",instance="c"}'
QUEUE = 'rabbitmq_detailed_queue_%s{vhost="/",queue="%s",instance="r"}'
CLOCK = 'job="millrace-clock",instance="c"'
WEB = 'millrace_build_info{job="millrace-web",instance="%s",role="web"}'
IS_CLOCK = f'millrace_build_info{{{CLOCK},role="clock"}}'
LOST = 'millrace_canary_lost_total{job="millrace-clock",queue="%s",reason="%s",instance="%s"}'
OVERDUE = f'millrace_tickets_overdue{{{CLOCK},queue="%s"}}'
PUBLISHED = f'millrace_tickets_published_total{{{CLOCK},exchange="%s",outcome="%s"}}'

CASES = (
    Case(
        "MillraceNoWeb",
        {WEB % "w": "1x10 stale"},
        "6m",
        "7m",
        {},
        "critical",
        "What was accepted is worked all the same.",
    ),
    # Pods that are gone leave no `up` behind.
    Case(
        "MillraceNoWeb",
        {WEB % "w": "1x10 stale", IS_CLOCK: "1x20"},
        "6m",
        "7m",
        {},
        "critical",
        "What was accepted is worked all the same.",
    ),
    Case(
        "MillraceNoWeb",
        {WEB % "w": "1x5 stale", WEB % "v": "1x20"},
        "9m",
    ),
    # A target that leads to another process, which the job calls a web.
    Case(
        "MillraceNoWeb",
        {WEB % "w": "1x10 stale", IS_CLOCK.replace("millrace-clock", "millrace-web"): "1x20"},
        "6m",
        "7m",
        {},
        "critical",
        "What was accepted is worked all the same.",
    ),
    Case(
        "MillraceCanaryLost",
        {LOST % ("events", "late", "c"): "0x20 1+1x20"},
        "14m",
        "15m",
        {"queue": "events"},
        "critical",
        says="4 were lost in 2 minutes on the queue events, and it goes on.",
    ),
    # One in four, for good: one of four workers takes and never answers.
    Case(
        "MillraceCanaryLost",
        {LOST % ("events", "late", "c"): "0x20 1x1 2x1 3x1 4x1 5x1 6x1 7x1 8x1 9x1 10x1"},
        "14m",
        "15m",
        {"queue": "events"},
        "critical",
        says="2 were lost in 2 minutes on the queue events, and it goes on.",
    ),
    # The only door is started again, or the ledger fails over: each of two clocks loses those of a minute and a half.
    *(
        Case(
            "MillraceCanaryLost",
            {
                LOST % (queue, "refused", clock): "0x20 2x0 4x0 6x60"
                for queue in ("events", "http")
                for clock in ("c", "d")
            },
            at,
        )
        for at in ("13m", "14m30s")
    ),
    Case(
        "MillraceCanarySlow",
        {
            'millrace_canary_latency_seconds_bucket{queue="events",le="5.0"}': "0+2x20 40x40",
            'millrace_canary_latency_seconds_bucket{queue="events",le="10.0"}': "0+2x60",
            'millrace_canary_latency_seconds_bucket{queue="events",le="+Inf"}': "0+2x60",
        },
        "16m",
        "25m",
        {"queue": "events"},
        says="One in ten takes more than 9.5s through the queue events.",
    ),
    Case(
        "MillraceCanaryAbsent",
        {'millrace_canary_sent_total{queue="events",instance="c"}': "0+2x40 80x80"},
        "44m30s",
        "50m",
        says="No clock has sent a synthetic event for 10 minutes.",
    ),
    # Nobody has asked for any, and no clock has the counter.
    Case(
        "MillraceCanaryAbsent",
        {f"up{{{CLOCK}}}": "1x80"},
        "14m30s",
        "20m",
        says="No clock has sent a synthetic event for 10 minutes.",
    ),
    # A clock is started again and again.
    Case(
        "MillraceCanaryAbsent",
        {'millrace_canary_sent_total{queue="events",instance="c"}': "900+2x20 0+2x20 0+2x20 0+2x20"},
        "38m",
    ),
    Case(
        "MillraceOldestEventWaits",
        {WAITS: "59x9 590x20"},
        "9m30s",
        "11m",
        {"queue": "events", "type": "a.b"},
        says="The oldest of a.b on the queue events has waited for 9m 50s.",
    ),
    Case(
        "MillraceOldestEventWaits",
        {WAITS: "0x3 700x20", WAITS.replace('"c"', '"d"'): "0x40"},
        "6m30s",
        "9m",
        {"queue": "events", "type": "a.b"},
        "critical",
        says="The oldest of a.b on the queue events has waited for 11m 40s.",
    ),
    Case(
        "MillraceBacklogGrows",
        {"millrace_tickets_due": "900x40 900+100x60", "millrace_tickets_out": "0x100"},
        "31m30s",
        "40m",
        says="4.8k tickets wait.",
    ),
    # It never doubles in an hour, and never ends.
    Case(
        "MillraceBacklogGrows",
        {"millrace_tickets_due": "60000x40 60000+250x60", "millrace_tickets_out": "0x100"},
        "38m",
        "40m",
        says="69.75k tickets wait.",
    ),
    # Tickets are counted up to 100,000: from there on, the events that are open tell.
    *(
        Case(
            "MillraceBacklogGrows",
            {
                f"millrace_tickets_{full}": "100000x100",
                f"millrace_tickets_{other}": "500x100",
                'millrace_events_open{type="a.b"}': "400000x40 400000+900x60",
            },
            "30m30s",
            "40m",
            says="100.5k tickets wait.",
        )
        for full, other in (("due", "out"), ("out", "due"))
    ),
    Case(
        "MillraceBacklogGrows",
        {
            "millrace_tickets_due": "100000x100",
            "millrace_tickets_out": "500x100",
            'millrace_events_open{type="a.b"}': "400000-900x100",
        },
        "40m",
    ),
    # By a fifth in an hour; and what is counted to its end does not grow, whatever is open.
    Case("MillraceBacklogGrows", {"millrace_tickets_due": "60000+100x100", "millrace_tickets_out": "0x100"}, "40m"),
    *(
        Case(
            "MillraceBacklogGrows",
            {
                f"millrace_tickets_{many}": "90000x100",
                f"millrace_tickets_{other}": "500x100",
                'millrace_events_open{type="a.b"}': "400000+900x100",
            },
            "40m",
        )
        for many, other in (("due", "out"), ("out", "due"))
    ),
    Case("MillraceBacklogGrows", {"millrace_tickets_due": "90000-100x80", "millrace_tickets_out": "0x100"}, "40m"),
    Case("MillraceBacklogGrows", {"millrace_tickets_due": "700+2.4x100", "millrace_tickets_out": "0x100"}, "40m"),
    Case(
        "MillraceEventsWithoutTicket",
        {"millrace_events_without_ticket": "0x10 3x20"},
        "6m",
        "8m",
        {},
        "critical",
        "3 were found.",
    ),
    Case(
        "MillraceTicketsNotPublished",
        {
            f"millrace_tickets_due{{{CLOCK}}}": "5x60",
            f"millrace_tickets_held{{{CLOCK}}}": "0x60",
            f'millrace_tickets_published_total{{{CLOCK},outcome="confirmed"}}': "0+1x20 20x40",
            f'millrace_tickets_published_total{{{CLOCK},outcome="unconfirmed"}}': "0+1x60",
            # A door publishes what it has just accepted, whatever the clocks do.
            'millrace_tickets_published_total{job="millrace-web",instance="w",outcome="confirmed"}': "0+9x60",
        },
        "19m30s",
        "25m",
        {},
        "critical",
        "5 tickets are due.",
    ),
    # The window of their type is full: they wait for workers, and nobody else can do anything.
    Case(
        "MillraceTicketsNotPublished",
        {
            f"millrace_tickets_due{{{CLOCK}}}": "5x60",
            f"millrace_tickets_held{{{CLOCK}}}": "5x60",
            f'millrace_tickets_published_total{{{CLOCK},outcome="confirmed"}}': "20x60",
        },
        "25m",
    ),
    # A clock was started again, and publishes.
    Case(
        "MillraceTicketsNotPublished",
        {
            f"millrace_tickets_due{{{CLOCK}}}": "5x60",
            f"millrace_tickets_held{{{CLOCK}}}": "0x60",
            f'millrace_tickets_published_total{{{CLOCK},outcome="confirmed"}}': "900+1x20 0+1x40",
        },
        "15m",
    ),
    Case(
        "MillraceTicketsOverdue",
        {
            OVERDUE % "events": "7x80",
            OURS % "events": "1x80",
            QUEUE % ("messages_ready", "events"): "9x20 0x60",
            # What waits elsewhere says nothing of ours.
            QUEUE % ("messages_ready", "dead"): "3x80",
            QUEUE % ("messages_ready", "of-another-application"): "3x80",
        },
        "25m",
        "30m",
        {"queue": "events"},
        says="7 tickets are overdue on the queue events.",
    ),
    # Another queue has its own to do, and hides nothing.
    Case(
        "MillraceTicketsOverdue",
        {
            OVERDUE % "reports": "0x20 7x60",
            OVERDUE % "events": "0x80",
            OURS % "events": "1x80",
            OURS % "reports": "1x80",
            QUEUE % ("messages_ready", "events"): "9x80",
            QUEUE % ("messages_ready", "reports"): "0x80",
        },
        "25m",
        "30m",
        {"queue": "reports"},
        says="7 tickets are overdue on the queue reports.",
    ),
    # It has a backlog; the queue that has nothing to do lost nothing.
    Case(
        "MillraceTicketsOverdue",
        {
            OVERDUE % "events": "7x80",
            OVERDUE % "reports": "0x80",
            OURS % "events": "1x80",
            OURS % "reports": "1x80",
            QUEUE % ("messages_ready", "events"): "9x80",
            QUEUE % ("messages_ready", "reports"): "0x80",
        },
        "35m",
    ),
    # Nobody scrapes RabbitMQ: an ordinary backlog may be behind it.
    Case("MillraceTicketsOverdue", {OVERDUE % "events": "7x80", OURS % "events": "1x80"}, "30m"),
    Case(
        "MillracePublishFails",
        {
            'millrace_tickets_published_total{outcome="confirmed"}': "0+90x60",
            'millrace_tickets_published_total{outcome="unconfirmed"}': "0x20 0+10x40",
        },
        "15m30s",
        "25m",
        says="10% of the tickets are not confirmed.",
    ),
    # Less than one in a hundred; and a handful at night, four in five minutes.
    Case(
        "MillracePublishFails",
        {PUBLISHED % ("events", "confirmed"): "0+992x80", PUBLISHED % ("events", "unconfirmed"): "0+8x80"},
        "30m",
    ),
    Case(
        "MillracePublishFails",
        {
            PUBLISHED % ("events", "confirmed"): "0+1x80",
            PUBLISHED % ("events", "unconfirmed"): "0x20 0+0.4x60",
        },
        "30m",
    ),
    # A busy door does not hide a clock that publishes ticks in vain.
    Case(
        "MillracePublishFails",
        {
            'millrace_tickets_published_total{job="millrace-web",exchange="events",outcome="confirmed"}': "0+6000x60",
            'millrace_tickets_published_total{job="millrace-web",exchange="events",outcome="unconfirmed"}': "0x60",
            PUBLISHED % ("events", "confirmed"): "7x60",
            PUBLISHED % ("events", "unconfirmed"): "0x60",
            PUBLISHED % ("periodic", "confirmed"): "0+1x20 20x40",
            PUBLISHED % ("periodic", "unconfirmed"): "0x20 0+1x40",
        },
        "18m",
        "25m",
        says="100% of the tickets are not confirmed.",
    ),
    # The broker is dead: nothing is tried any more, so nothing is counted.
    Case(
        "MillracePublishFails",
        {
            PUBLISHED % ("events", "confirmed"): "90x80",
            PUBLISHED % ("events", "unavailable"): "0x80",
            f'millrace_connection_up{{{CLOCK},peer="broker"}}': "1x20 0x60",
            f"millrace_tickets_due{{{CLOCK}}}": "5x80",
            f"millrace_tickets_held{{{CLOCK}}}": "0x80",
        },
        "15m",
        "16m",
        says="100% of the tickets are not confirmed.",
    ),
    # It is there for one clock of two; and one is away while nothing is to be published.
    *(
        Case(
            "MillracePublishFails",
            {
                PUBLISHED % ("events", "confirmed"): "90x80",
                PUBLISHED % ("events", "unavailable"): "0x80",
                f'millrace_connection_up{{{CLOCK},peer="broker"}}': "0x80",
                'millrace_connection_up{job="millrace-clock",instance="d",peer="broker"}': other,
                f"millrace_tickets_due{{{CLOCK}}}": due,
                f"millrace_tickets_held{{{CLOCK}}}": "2x80",
            },
            "30m",
        )
        for other, due in (("1x80", "5x80"), ("0x80", "2x80"))
    ),
    Case(
        "MillraceServerErrors",
        {'millrace_http_requests_total{route="/v1/types",code="500"}': "0x10 1x20"},
        "5m",
        "6m",
        {"route": "/v1/types"},
        says="1 in 10 minutes at /v1/types.",
    ),
)
