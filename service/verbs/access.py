"""The verbs of access: keys, users, and who did what. They need no key: who can read the ledger is trusted."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import click

from service.domain import durations, errors
from service.domain.access import Role
from service.ledger import audit as ledger
from service.terminal import moment, print_json, print_line, print_table, told
from service.verbs import common


class Lasts(click.ParamType[float]):
    """A length of time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; fails with what would be right."""
        try:
            return float(durations.seconds(str(value)))
        except (errors.MillraceError, ValueError):
            self.fail(f"{value}: a length of time is wanted, like 30m, 12h or 90d")


ROLE = click.Choice([role.value for role in Role])


@click.group()
def keys() -> None:
    """API keys: make, list, rotate, revoke.

    They are hashed with MILLRACE_ACCESS_SECRET, which must be the web's.
    """


@keys.command("create")
@click.argument("name")
@click.option("--role", type=ROLE, required=True, help="What it may do.")
@click.option("--types", multiple=True, metavar="PATTERN", help="Event types that it may post, like orders.*")
@click.option("--expires", "lasts", type=Lasts(), metavar="TIME", help="After so long, like 90d; never by default.")
@common.BY
@common.AS_JSON
@told
def create_key(name: str, role: str, types: tuple[str, ...], lasts: float | None, by: str, as_json: bool) -> None:
    """Make a key for NAME, and print it: nobody can show it again.

    \b
      millrace keys create ada --role admin --expires 90d
      millrace keys create orders-service --role producer --types 'orders.*'
    """
    _tell_key(common.operations().keys.create(name=name, role=role, types=types, lasts=lasts, by=by), as_json)


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="Those too that are revoked or have expired.")
@common.AS_JSON
@told
def list_keys(everything: bool, as_json: bool) -> None:
    """List keys by name, without what opens anything."""
    found = common.operations().key_ledger.list(all=everything)
    if as_json:
        print_json({"keys": found})
        return
    print_table(
        ("id", "name", "role", "types", "state", "expires (UTC)", "used (UTC)"),
        [
            (k["id"], k["name"], k["role"], " ".join(k["types"]), k["state"], moment(k["expires_at"]),
             moment(k["used_at"]))
            for k in found
        ],
    )  # fmt: skip


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option("--overlap", type=Lasts(), metavar="TIME", default="24h", show_default=True, help="The old one goes on.")
@common.BY
@common.AS_JSON
@told
def rotate_key(key_id: str, overlap: float, by: str, as_json: bool) -> None:
    """Make a key in the place of another one, which goes on for a while.

    Name, role and types are the old one's. A name has two live keys at most.
    """
    _tell_key(common.operations().keys.rotate(key_id, overlap=overlap, by=by), as_json)


@keys.command("revoke")
@click.argument("key_ids", metavar="ID...", nargs=-1, required=True)
@common.BY
@common.AS_JSON
@told
def revoke_keys(key_ids: tuple[str, ...], by: str, as_json: bool) -> None:
    """End keys for good: within 10 s they open nothing anywhere."""
    acts = common.operations().keys

    def one(key_id: str) -> dict[str, Any]:
        return {"state": acts.revoke(key_id, by=by)["state"]}

    common.each(key_ids, one, as_json)


@click.group()
def users() -> None:
    """Local users of the console: add, list, change, remove."""


@users.command("add")
@click.argument("name")
@click.option("--role", type=ROLE, required=True, help="What they may do.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; else it is asked for.")
@common.BY
@told
def add_user(name: str, role: str, password_stdin: bool, by: str) -> None:
    """Add a user who signs in with a password.

    \b
      millrace users add ada --role admin
    """
    acts = common.operations().users
    acts.add(name, role, _password(password_stdin), by=by)
    click.echo(f"{name} may sign in as {role}")


@users.command("list")
@common.AS_JSON
@told
def list_users(as_json: bool) -> None:
    """List users, their roles, and when they were seen last."""
    found = common.operations().users.list()
    if as_json:
        print_json({"users": found})
    else:
        rows = [(u["name"], u["role"], moment(u["created_at"]), moment(u["seen_at"])) for u in found]
        print_table(("name", "role", "added (UTC)", "seen (UTC)"), rows)


@users.command("password")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; else it is asked for.")
@common.BY
@told
def set_password(name: str, password_stdin: bool, by: str) -> None:
    """Give a user another password, and end their sessions."""
    acts = common.operations().users
    acts.set_password(name, _password(password_stdin), by=by)
    click.echo(f"{name} has another password; whoever was signed in is not any more")


@users.command("remove")
@click.argument("name")
@common.YES
@common.BY
@told
def remove_user(name: str, yes: bool, by: str) -> None:
    """Remove a user, and end their sessions."""
    acts = common.operations().users
    common.confirmed(yes, f"Remove the user {name}?")
    acts.remove(name, by=by)
    click.echo(f"{name} is removed")


@click.group()
def audit() -> None:
    """The log of who did what: list it, verify it."""


@audit.command("list")
@click.option("--actor", metavar="NAME", help="Who acted.")
@click.option("--act", metavar="ACT", help="What was done, or its beginning, like schedule.")
@click.option("--target", metavar="NAME", help="To what: an event's id, a type, a schedule.")
@common.since_until("Done")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many.")
@click.option("--cursor", type=click.IntRange(1), help="The next_cursor of the page before.")
@common.AS_JSON
@told
def list_audit(
    actor: str | None,
    act: str | None,
    target: str | None,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
    limit: int,
    cursor: int | None,
    as_json: bool,
) -> None:
    """List what was done, the newest first."""
    filters = ledger.Filters(actor, act, target, since, until, cursor)
    found = common.operations().audit.list(filters, limit=limit + 1)
    page = found[:limit]
    next_cursor = page[-1]["n"] if len(found) > limit else None
    if as_json:
        print_json({"audit": page, "next_cursor": next_cursor})
        return
    rows = [(str(e["n"]), moment(e["at"]), e["actor"] or "", e["act"], e["target"] or "") for e in page]
    print_table(("n", "at (UTC)", "who", "act", "target"), rows)
    common.tell_next(None if next_cursor is None else str(next_cursor))


@audit.command("verify")
@click.option("--end", metavar="HASH", help="A hash that was the chain's end once: it must still be in it.")
@common.AS_JSON
@told
def verify_audit(end: str | None, as_json: bool) -> None:
    """Check the chain: which rows were changed, removed or put in.

    Exit code 1 if it does not hold. Keep the hash that it prints where nobody
    who can write the ledger can write, and give it the next time with --end.
    """
    here = common.operations().audit
    found = here.verify()
    lost = end is not None and not here.holds(end)
    if as_json:
        breaks = [{"n": b.n, "what": b.what} for b in found.breaks]
        print_json({"rows": found.rows, "end": found.end, "breaks": breaks, "end_lost": lost})
    else:
        for one in found.breaks:
            print_line(f"FAULT {one.what}")
        if lost:
            print_line(f"FAULT no row has the hash {end}: the chain was written anew")
        click.echo(f"{found.rows} rows, the chain {'does not hold' if found.breaks or lost else 'holds'}; its end is")
        click.echo(found.end)
    sys.exit(1 if found.breaks or lost else 0)


def _tell_key(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    until = f" until {moment(made['expires_at'])} UTC" if made["expires_at"] else ""
    click.echo(f"the key {made['id']} of {made['name']}: {made['role']}{until}", err=True)
    click.echo("it is shown this once:", err=True)
    click.echo(made["key"])


def _password(stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
