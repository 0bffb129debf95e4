"""One fault is one page: outages from their begin until long after their end, by all rules and all inhibitions."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.monitoring import inhibition, rules
from tests.servers import need_prometheus

STEP = 60  #: seconds between samples
CALM = 20 * 60  #: seconds before an outage
AFTER = 20 * 60  #: seconds that are looked at after it
RATE = 4  #: events in a second
DRAIN = 3 * 60  #: seconds until what waited is worked

Series = dict[str, Callable[[float], float | None]]  #: name and labels → its value at a second; None: it is not there

CLOCKS = ('job="millrace-clock",instance="c"', 'job="millrace-clock",instance="d"')
DUTY = 'millrace_duty_last_success_timestamp_seconds{%s,duty="%s"}'
WORKER, WEB = 'job="millrace-worker",instance="w"', 'job="millrace-web",instance="v"'


class Outage:
    """A road of which something is away from ``CALM`` on, for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = CALM + seconds

    def away(self, t: float) -> bool:
        """Whether it is away."""
        return CALM <= t < self.end

    def up(self, t: float) -> float:
        """What a gauge of its life says."""
        return float(not self.away(t))

    def lasted(self, t: float) -> float:
        """For how many seconds it was away so far."""
        return min(max(0.0, t - CALM), self.seconds)

    def worked(self, t: float) -> float:
        """Events that were begun: none in the outage, and afterwards those that waited, besides all others."""
        waited = min(1.0, max(0.0, t - self.end) / DRAIN) * self.seconds
        return RATE * (t - self.lasted(t) + waited)

    def in_time(self, t: float) -> float:
        """Of those, the ones that were begun soon."""
        return RATE * (t - min(max(0.0, t - CALM), self.seconds + DRAIN))

    def waits(self, t: float) -> float:
        """How long the oldest event has waited."""
        return self.lasted(t) if t < self.end else self.seconds * max(0.0, 1 - (t - self.end) / DRAIN)

    # --- what is seen of it ---------------------------------------------------------------------------------------

    def late(self) -> Series:
        """Events that wait, and are begun late."""
        start = 'millrace_event_start_latency_seconds_%s{job="millrace-worker",instance="w",type="numbers.requested"%s}'
        return {
            start % ("count", ""): self.worked,
            start % ("bucket", ',le="5.0"'): self.in_time,
            **{
                f'millrace_oldest_waiting_seconds{{{clock},queue="events",type="numbers.requested"}}': self.waits
                for clock in CLOCKS
            },
        }

    def canary(self, reason: str, after: float = 0.0) -> Series:
        """What clocks send every 15 s is lost, ``after`` so many seconds."""
        lost = lambda t: float(self.lasted(t - after) // 15)  # noqa: E731
        name = 'millrace_canary_lost_total{%s,queue="events",reason="%s"}'
        return {name % (clock, reason): lost for clock in CLOCKS}

    def refused(self) -> Series:
        """Posts that were answered 503."""
        name = 'millrace_http_requests_total{%s,method="POST",route="/v1/events/<name>",code="%s"}'
        return {
            name % (WEB, "202"): lambda t: RATE * (t - self.lasted(t)),
            name % (WEB, "503"): lambda t: RATE * self.lasted(t),
        }

    def queue(self, consumers: Callable[[float], float]) -> Series:
        """What RabbitMQ tells of the queue."""
        name = 'rabbitmq_detailed_queue_%s{job="rabbitmq-detailed",instance="r",vhost="/",queue="events"}'
        return {
            name % "consumers": consumers,
            name % "messages_ready": lambda t: RATE * self.waits(t),
            'millrace_queue_info{job="millrace-clock",instance="c",vhost="/",queue="events"}': lambda t: 1.0,
        }


def _alive(role: str, labels: str, is_there: Callable[[float], bool] = lambda t: True) -> Series:
    return {
        f'millrace_build_info{{{labels},role="{role}"}}': lambda t: 1.0 if is_there(t) else None,
        f"up{{{labels}}}": lambda t: float(is_there(t)),
    }


def broker(it: Outage) -> Series:
    connections = [f'millrace_connection_up{{{labels},peer="broker"}}' for labels in (*CLOCKS, WORKER)]
    return {
        **dict.fromkeys(connections, it.up),
        **it.late(),
        **it.canary("late", 60),
        'up{job="rabbitmq",instance="r"}': it.up,
    }


def ledger(it: Outage) -> Series:
    connections = [f'millrace_connection_up{{{labels},peer="ledger"}}' for labels in CLOCKS]
    faults = 'millrace_ledger_faults_total{job="millrace-worker",instance="w",fault="connection"}'
    return {**dict.fromkeys(connections, it.up), **it.late(), **it.canary("refused"), **it.refused(), faults: it.lasted}


def workers(it: Outage) -> Series:
    return {**it.late(), **it.canary("late", 60), **it.queue(lambda t: 2 * it.up(t)), **_alive("worker", WORKER, it.up)}


def workers_of_a_queue(it: Outage) -> Series:
    return {**it.late(), **it.canary("late", 60), **it.queue(lambda t: 2 * it.up(t))}


def door(it: Outage) -> Series:
    return {**it.canary("refused"), **_alive("web", WEB, it.up)}


#: What is away, for how many seconds, and what of it somebody is to get up for.
STORIES = {
    "broker": (broker, 600, {"MillraceBrokerAway"}),
    "broker for half an hour": (broker, 1800, {"MillraceBrokerAway"}),
    "ledger": (ledger, 600, {"MillraceLedgerAway"}),
    "workers": (workers, 600, {"MillraceNoWorkers"}),
    "workers of a queue": (workers_of_a_queue, 900, {"MillraceQueueWithoutConsumers"}),
    "door": (door, 600, {"MillraceNoWeb"}),
    # For less than it takes to tell of them.
    "door that is started again": (door, 45, set()),
    "ledger that fails over": (lambda it: it.canary("refused"), 20, set()),
}


LONG = "broker for half an hour"


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.heavy) if n == LONG else n for n in STORIES])
def test_an_outage_is_one_page_until_long_after_it(name: str, tmp_path: pathlib.Path) -> None:
    make, seconds, pages = STORIES[name]
    it = Outage(seconds)
    series = {**_alive("clock", CLOCKS[0]), **_alive("worker", WORKER), **_alive("web", WEB), **make(it)}
    known = inhibition.read()
    found: dict[str, list[int]] = {}
    for at, firing in _firing(series, it, tmp_path).items():
        for alert in inhibition.told(firing, known):
            if alert["severity"] == "critical":
                found.setdefault(alert["alertname"], []).append(at - CALM)
    assert set(found) == pages, found
    assert all(min(at) < seconds for at in found.values())


def _firing(series: Series, it: Outage, folder: pathlib.Path) -> dict[int, list[dict[str, str]]]:
    """What fires, by the second: promtool says it of what nobody expects."""
    need_prometheus()
    last = round(it.end) + AFTER
    looks = range(CALM, last, STEP)
    silent = re.compile("|".join(one.source.get("alertname", "-") for one in inhibition.read()))
    names = {r.alert for r in rules.alerts() if r.fields["severity"] == "critical" or silent.fullmatch(r.alert)}
    samples = range(0, last + STEP, STEP)
    # All that is not asked for goes on as it did.
    series = {DUTY % (clock, duty): float for clock in CLOCKS for duty in ("slots", "release")} | series
    document = {
        "rule_files": [str(path) for path in rules.FILES],
        "evaluation_interval": f"{STEP}s",
        "group_eval_order": rules.groups(rules.FILES),
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [
                    {"series": one, "values": " ".join(_written(value(t)) for t in samples)}
                    for one, value in series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": f"{at}s", "alertname": name, "exp_alerts": []}
                    for at in looks
                    for name in sorted(names)
                ],
            }
        ],
    }
    written = folder / "story.json"
    written.write_text(json.dumps(document))
    done = subprocess.run(["promtool", "test", "rules", str(written)], capture_output=True, text=True, check=False)
    return _read(done.stdout + done.stderr, looks)


def _written(value: float | None) -> str:
    return "stale" if value is None else f"{value:g}"


def _read(said: str, looks: range) -> dict[int, list[dict[str, str]]]:
    """The labels of what promtool did not expect."""
    found: dict[int, list[dict[str, str]]] = {at: [] for at in looks}
    at = 0
    for line in said.splitlines():
        if time := re.search(r"alertname: \w+, time: (?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?,", line):
            hours, minutes, seconds = (int(one or 0) for one in time.groups())
            at = 3600 * hours + 60 * minutes + seconds
        elif labels := re.match(r" *Labels:(\{.*\})$", line):
            found[at].append(dict(re.findall(r'(\w+)="([^"]*)"', labels[1])))
    return found
