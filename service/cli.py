"""The command line. Each verb parses, calls one thing, and answers; faults come out as one line."""

from __future__ import annotations

import json
import pathlib
import sys

import click

from service import __version__, bootstrap, plugins, verbs
from service import doctor as doctors
from service.telemetry import objectives as rules
from service.terminal import told

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 80}


@click.group(context_settings=CONTEXT)
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
    settings = bootstrap.prepare("web")
    settings.require_servers().require_access()
    from service.web import server

    server.serve(settings)


@main.command()
@told
def migrate() -> None:
    """Bring the ledger and the apps' own tables to this version's schema."""
    settings = bootstrap.prepare("migrate").require("database_url")
    from service.ledger import migrate as migrations  # Alembic is slow to import.

    click.echo(f"the ledger is at {migrations.migrate(settings.database_url, app_migrations(settings.apps))}")


@main.group()
def topology() -> None:
    """Exchanges and queues on RabbitMQ."""


@topology.command()
@told
def apply() -> None:
    """Declare what is missing. May be run as often as one likes."""
    settings = bootstrap.prepare("topology").require("broker_url")
    for line in bootstrap.apply_topology(settings):
        click.echo(line)


@topology.command()
@told
def definitions() -> None:
    """Print the topology as RabbitMQ definitions (JSON), policies included."""
    bootstrap.prepare("topology")
    click.echo(bootstrap.definitions())


@topology.command()
@told
def policies() -> None:
    """Print the command that sets the policies, for an administrator.

    They hold what may be changed later: how often a message is delivered
    before it is taken for deadly.
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
    """After the broker was lost: make every open ticket due now."""
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
