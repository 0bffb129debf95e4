"""Ways to the broker, and what an administrator does there."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator

from service import plugins
from service.application import ports
from service.broker import connection as connections
from service.broker import demo, plan, topology, users
from service.broker import publisher as amqp_publisher
from service.domain import errors
from service.settings import Settings


def broker(settings: Settings, name: str) -> ports.Broker:
    """A way to the broker for one thread."""
    if settings.demo_broker:
        return demo.DemoPublisher(settings, plugins.registry.queues())
    return amqp_publisher.Publisher(
        settings.broker_url, plugins.registry.queues(), heartbeat=settings.broker_heartbeat, name=name
    )


def apply_topology(settings: Settings) -> list[str]:
    """Declare exchanges and queues, and end what a drain has begun; lines for people. Raises BrokerUnavailable."""
    if settings.demo_broker:
        return ["the demo broker needs no topology"]
    done = topology.apply(settings.broker_url, plugins.registry.queues(), heartbeat=settings.broker_heartbeat)
    # A parallel queue that stays bound gets every message once more, and has no worker.
    with topology_broker(settings) as broker:
        for name in broker.begun():
            done.append(f"queue {name}: {broker.join(name)} messages were moved from its parallel queue")
    return done


@contextlib.contextmanager
def topology_broker(settings: Settings) -> Iterator[plan.Broker]:
    """An administrator's connection. Raises SettingsError, BrokerUnavailable."""
    if settings.require("broker_url").demo_broker:
        raise errors.SettingsError("MILLRACE_BROKER_URL: the demo broker has no topology to change")
    found = plan.Broker(settings.broker_url, plugins.registry.queues(), heartbeat=settings.broker_heartbeat)
    try:
        yield found
    finally:
        found.close()


def replace_queues(settings: Settings, timeout: float) -> Iterator[str]:
    """Make queues that differ anew; lines for people. Raises NotDrained, BrokerUnavailable."""
    with topology_broker(settings) as broker:
        for name in broker.differing():
            yield f"queue {name} is made anew; {broker.switch(name, timeout=timeout)} messages were moved"


def definitions(settings: Settings, passwords: str | None = None) -> str:
    """The topology as RabbitMQ definitions; with the text of a file of passwords, users and permissions too."""
    vhost = connections.vhost(settings.broker_url) if settings.broker_url else "/"
    found = None if passwords is None else users.read_passwords(passwords)
    return topology.definitions(plugins.registry.queues(), vhost, found)


def policies(settings: Settings) -> str:
    """The commands that set the policies, for an administrator's shell."""
    vhost = connections.vhost(settings.broker_url) if settings.broker_url else "/"
    return "\n".join(shlex.join(["rabbitmqctl", "-p", vhost, *words]) for words in topology.policies())
