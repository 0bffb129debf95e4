"""What a process shows of itself: metrics, health and traces."""

from __future__ import annotations

from collections.abc import Iterable

from service import plugins, signals
from service.broker import connection as connections
from service.domain import topology as domain_topology
from service.settings import Settings
from service.telemetry import certificates, exposition, metrics, tracing


def watch(
    settings: Settings,
    role: str,
    routes: Iterable[tuple[str, str]] = (),
    pages: exposition.Pages = exposition.NONE,
) -> None:
    """Count what happens in this process, and show it on /metrics. ``routes``: (method, template) of the web.

    ``pages``, such as /healthz, are shown beside it.
    """
    types, names = [h.type for h in plugins.registry], [s.name for s in plugins.calendar]
    queues = [q.name for q in domain_topology.queues(plugins.registry.queues()) if q.name != domain_topology.DEAD_QUEUE]
    detached = [h.type for h in plugins.registry if h.detached]
    metrics.install(
        role, types, detached=detached, schedules=names, routes=routes, queues=queues, version=settings.version
    )
    objectives = {h.type: h.objective for h in plugins.registry if h.objective is not None}
    signals.objectives_declared.send(None, objectives=objectives)
    limits = [h.limits(settings.soft_limit, settings.hard_limit)[1] for h in plugins.registry if not h.detached]
    signals.limits_declared.send(None, hard=max(limits, default=settings.hard_limit))
    vhost = connections.vhost(settings.broker_url) if settings.broker_url and not settings.demo_broker else "/"
    signals.queues_declared.send(None, vhost=vhost, queues=queues)
    for peer, url in (("broker", settings.broker_url), ("ledger", settings.database_url)):
        if (until := certificates.named(url)) is not None:
            signals.certificates_named.send(None, of=peer, until=until)
    exposition.serve(settings, role, pages)


def trace(settings: Settings, role: str) -> None:
    """Trace what this process does, if that is wanted. To be called in the process that does it, after any fork."""
    tracing.install(settings, role)


def end_traces() -> None:
    """Send the last spans of this process."""
    tracing.uninstall()
