"""The command line. Each verb parses, calls one thing, and answers; faults come out as one line."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import TextIO

import click

from service import __version__, bootstrap, plugins, rollout, verbs
from service import doctor as doctors
from service.domain import errors
from service.ledger import schema
from service.telemetry import objectives as rules
from service.terminal import told
from service.verbs import chapters

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 80}


@click.group(cls=chapters.Contents, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="millrace")
def main() -> None:
    """Millrace: events and periodic tasks, each worked exactly once.

    Settings come from the environment (MILLRACE_DATABASE_URL, MILLRACE_BROKER_URL,
    MILLRACE_APPS, …; see docs/settings.md). `millrace up` needs none.

    \b
    Workers and clocks are Celery's own commands:
      celery -A workers worker -Q events,periodic
      celery -A schedules beat
    """


@main.command()
@told
def up() -> None:
    """Run everything on this machine: web, worker and clock.

    Without MILLRACE_DATABASE_URL a private PostgreSQL is started under ./var,
    without MILLRACE_BROKER_URL the demo broker is used. Ctrl-C stops all of it.
    """
    from service.local import up as local  # Only these two commands need it.

    local.up(bootstrap.prepare("up"))


@main.command()
@told
def stack() -> None:
    """Run everything on real RabbitMQ and PostgreSQL.

    Private servers are started under ./var unless MILLRACE_BROKER_URL and
    MILLRACE_DATABASE_URL name others. What dies is started again.
    """
    from service.local import up as local

    local.stack(bootstrap.prepare("stack"))


@main.command()
@told
def monitor() -> None:
    """Run the stack with Prometheus and Alertmanager beside it.

    They watch it by the rules in monitoring/, a canary runs through every
    queue, and alerts are told in the console. In a checkout only.
    """
    from service.local import up as local

    local.monitor(bootstrap.prepare("monitor"))


@main.command()
@told
def web() -> None:
    """Serve HTTP on MILLRACE_HTTP."""
    try:
        settings = bootstrap.prepare("web")
        settings.require_servers().require_access()
        from service.web import server

        server.serve(settings)
    except errors.MillraceError as error:
        bootstrap.give_up(error, "web")


@main.command()
@click.option("--post", is_flag=True, help="Also take away what only older code needs; refused while such code runs.")
@told
def migrate(post: bool) -> None:
    """Bring the ledger and the apps' own tables to this version's schema.

    Before new code is rolled out, while older code runs: nothing that it needs
    is taken away. That comes afterwards, with --post; see docs/upgrades.md.
    """
    settings = bootstrap.prepare("migrate").require("database_url")
    from service.ledger import migrate as migrations  # Alembic is slow to import.

    here = migrations.migrate(settings.database_url, app_migrations(settings.apps), post=post)
    click.echo(f"the ledger is at {here}")
    if here < schema.HEAD:
        click.echo(f"when no older code runs any more: `millrace migrate --post` brings it to {schema.HEAD}")


@main.command()
@told
def grants() -> None:
    """Print the SQL that makes PostgreSQL's roles, with the least they need.

    One role for each kind of process. An administrator runs it once, before
    the first `millrace migrate`; see docs/postgresql.md.
    """
    from service.ledger import grants as sql

    click.echo(sql.script(), nl=False)


@main.group()
def topology() -> None:
    """Exchanges and queues on RabbitMQ."""


TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds for workers to empty a queue.",
)


@topology.command("plan")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def show_plan(as_json: bool) -> None:
    """Say what differs between this code and the broker; change nothing.

    Exit code 1 if anything does.
    """
    with bootstrap.topology_broker(bootstrap.prepare("topology")) as broker:
        lines = broker.plan()
    if as_json:
        click.echo(json.dumps([line.document() for line in lines], indent=2))
    else:
        for line in lines:
            click.echo(f"{line.word:<8} {line.kind} {line.name}{': ' if line.detail else ''}{line.detail}")
    sys.exit(0 if all(line.word == "same" for line in lines) else 1)


@topology.command()
@click.option("--replace", is_flag=True, help="Make queues whose arguments differ anew: drain, switch, move.")
@TIMEOUT
@told
def apply(replace: bool, timeout: float) -> None:
    """Declare what is missing. May be run as often as one likes.

    What a drain has begun, it ends: messages come back from the parallel queue.
    With --replace, queues that differ are made anew while everything runs; see
    docs/rabbitmq.md.
    """
    settings = bootstrap.prepare("topology").require("broker_url")
    if replace and not settings.demo_broker:
        for line in bootstrap.replace_queues(settings, timeout):
            click.echo(line)
    for line in bootstrap.apply_topology(settings):
        click.echo(line)


@topology.command()
@click.argument("queue")
@TIMEOUT
@told
def drain(queue: str, timeout: float) -> None:
    """Lead what is published past QUEUE, and wait until workers have emptied it.

    It gathers in `QUEUE.parallel` until `millrace topology apply`, with
    --replace where the queue is to be made anew.
    """
    with bootstrap.topology_broker(bootstrap.prepare("topology")) as broker:
        broker.drain(queue, timeout=timeout)
    click.echo(f"{queue} is empty; `millrace topology apply`, or with --replace, leads back to it")


@topology.command()
@click.option(
    "--passwords",
    type=click.File(),
    help="A file with a line `user:password` for each user of docs/rabbitmq.md: prints users and permissions, too.",
)
@told
def definitions(passwords: TextIO | None) -> None:
    """Print the topology as RabbitMQ definitions (JSON), policies included."""
    settings = bootstrap.prepare("topology")
    click.echo(bootstrap.definitions(settings, None if passwords is None else passwords.read()))


@topology.command()
@told
def policies() -> None:
    """Print the commands that set the policies, for an administrator.

    They hold what may be changed later: how often a message is delivered
    before it is taken for deadly, and that none is in the queue `dead`.
    """
    click.echo(bootstrap.policies(bootstrap.prepare("topology")))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def doctor(as_json: bool) -> None:
    """Check servers, schema and balance: every open event has a ticket.

    Exit code 1 if anything is wrong; each finding names its cure.
    """
    findings = doctors.examine(bootstrap.prepare("doctor"))
    if as_json:
        click.echo(json.dumps([f.document() for f in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok   ' if finding.ok else 'FAULT'} {finding.name}: {finding.detail}")
    sys.exit(0 if all(f.ok for f in findings) else 1)


@main.command("check-deploy")
@click.option(
    "--sample",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Payloads to try, from each end of each line.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def check_deploy(sample: int, as_json: bool) -> None:
    """Say whether this code can work what stands in the ledger.

    Looks at what waits, is published, scheduled or dead: is there a handler
    for its type, and do payloads fit the handler's model? To be run with the
    new code before it is rolled out. Exit code 1 if it cannot work something.
    """
    verdicts = rollout.check(bootstrap.prepare("check"), sample=sample)
    if as_json:
        click.echo(json.dumps([v.document() for v in verdicts], indent=2))
    else:
        for verdict in verdicts:
            click.echo(f"{'ok   ' if verdict.ok else 'FAULT'} {verdict.line()}")
    sys.exit(0 if all(v.ok for v in verdicts) else 1)


@main.command()
@told
def objectives() -> None:
    """Print Prometheus rules for the objectives that handlers declare.

    Recording rules and alerts on how fast the error budget is spent, for
    the apps in MILLRACE_APPS: a file for monitoring/prometheus/rules.
    """
    bootstrap.prepare("objectives")
    click.echo(rules.rules(plugins.registry), nl=False)


@main.command()
@told
def rebuild() -> None:
    """After the broker was lost: make every ticket due now that was with it."""
    click.echo(f"{doctors.rebuild(bootstrap.prepare('rebuild'))} tickets are due now; the clocks publish them")


for verb in verbs.VERBS:
    main.add_command(verb)


def app_migrations(apps: tuple[str, ...]) -> list[tuple[str, pathlib.Path]]:
    """(name, alembic folder) of each app that has tables of its own."""
    found = []
    for app in plugins.apps(apps):
        for path in getattr(sys.modules[app], "__path__", ()):  # A plain module has none.
            if (pathlib.Path(path) / "migrations" / "env.py").is_file():
                found.append((app.replace(".", "_"), pathlib.Path(path) / "migrations"))
    return found
