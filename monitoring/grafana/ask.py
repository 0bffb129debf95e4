"""PromQL in words, so that the same question is asked in the same way everywhere.

Rates take ``$__rate_interval``, which Grafana makes at least four times as long as the interval between scrapes. What
stands beside ``$__range`` is a number for the whole time that is looked at.
"""

from __future__ import annotations

from monitoring.grafana.model import Query

JOB = 'job=~"$job"'
TYPE = 'type=~"$type"'


def of(metric: str, *matchers: str) -> str:
    """The series of one of our own metrics."""
    return f"{metric}{{{', '.join((JOB, *matchers))}}}"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """How many per second, over all processes."""
    return _sum(f"rate({of(metric, *matchers)}[$__rate_interval])", by)


def total(metric: str, *matchers: str, by: str = "") -> str:
    """How many in the whole time that is looked at."""
    return _sum(f"increase({of(metric, *matchers)}[$__range])", by)


def highest(metric: str, *matchers: str, by: str = "") -> str:
    """Of what every process counts for all: the highest."""
    return f"max{f' by ({by})' if by else ''} ({of(metric, *matchers)})"


def highest_rate(metric: str, *matchers: str, by: str = "") -> str:
    """Of what every process counts for all: how many per second."""
    return f"max{f' by ({by})' if by else ''} (rate({of(metric, *matchers)}[$__rate_interval]))"


def highest_total(metric: str, *matchers: str, by: str = "") -> str:
    """Of what every process counts for all, and goes on to where it is replaced: how many in the whole time that is
    looked at. Not the highest of what each has seen, which is a part of it.
    """
    return f"increase({highest(metric, *matchers, by=by)}[$__range:$__interval])"


def quantile(q: float, histogram: str, *matchers: str, by: str = "") -> str:
    """A quantile of a histogram."""
    within = _sum(f"rate({of(f'{histogram}_bucket', *matchers)}[$__rate_interval])", f"le, {by}" if by else "le")
    return f"histogram_quantile({q}, {within})"


def canary() -> tuple[Query, ...]:
    """How long canaries take, by queue. Half of them may well be quick while every fifth is slow."""
    return tuple(
        Query(quantile(q, "millrace_canary_latency_seconds", by="queue"), f"p{round(q * 100)} {{{{queue}}}}")
        for q in (0.5, 0.9)
    )


def heat(histogram: str, *matchers: str) -> str:
    """All buckets of a histogram, for a heat map: what came since the step before, so that each is counted once."""
    return _sum(f"increase({of(f'{histogram}_bucket', *matchers)}[$__interval])", "le")


def of_ours(series: str, *labels: str) -> str:
    """Of what RabbitMQ tells, which others may use too, that of our virtual hosts, or of other ``labels`` of ours."""
    shared = ", ".join(labels or ("vhost",))
    return f"{series} and on ({shared}) {highest('millrace_queue_info', by=shared)}"


def share_below(bound: str, histogram: str, *matchers: str) -> str:
    """Which share was at most ``bound``, one of the histogram's bounds, in the whole time that is looked at."""
    good = total(f"{histogram}_bucket", f'le="{bound}"', *matchers)
    return ratio(good, total(f"{histogram}_count", *matchers))


def top(n: int, question: str) -> str:
    """The ``n`` largest of its series."""
    return f"topk({n}, {question})"


def ratio(part: str, whole: str) -> str:
    """How many of one thing for each of another."""
    return f"{part} / {whole}"


def _sum(of_what: str, by: str) -> str:
    return f"sum{f' by ({by})' if by else ''} ({of_what})"
