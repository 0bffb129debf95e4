"""The verbs of access: keys, users, and who did what. On the host they need no key: there one is trusted."""

from __future__ import annotations

import sys
from typing import Any

import click

from service.domain import durations, errors
from service.domain.access import Role
from service.terminal import moment, print_json, print_line, print_table, told
from service.verbs import common
from service.verbs.api import Api, path


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
PASSWORD = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input; else it is asked for."
)


@click.group()
def keys() -> None:
    """API keys: make, list, rotate, revoke.

    On the host they are hashed with MILLRACE_ACCESS_SECRET, which must be the
    web's.
    """


@keys.command("create")
@click.argument("name")
@click.option("--role", type=ROLE, required=True, help="What it may do.")
@click.option("--types", multiple=True, metavar="PATTERN", help="Event types that it may post, like orders.*")
@click.option("--expires", "lasts", type=Lasts(), metavar="TIME", help="After so long, like 90d; never by default.")
@common.AS_JSON
@told
@common.acts
def create_key(api: Api, name: str, role: str, types: tuple[str, ...], lasts: float | None, as_json: bool) -> None:
    """Make a key for NAME, and print it: nobody can show it again.

    \b
      millrace keys create ada --role admin --expires 90d
      millrace keys create orders-service --role producer --types 'orders.*'
    """
    document = {"name": name, "role": role, "types": list(types), "lasts": lasts}
    _tell_key(api.post(path("keys"), document, repeatable=False), as_json)


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="Those too that are revoked or have expired.")
@common.AS_JSON
@told
@common.speaks
def list_keys(api: Api, everything: bool, as_json: bool) -> None:
    """List keys by name, without what opens anything."""
    found = api.get(path("keys"), all=everything or None)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "role", "types", "state", "expires (UTC)", "used (UTC)"),
        [
            (k["id"], k["name"], k["role"], " ".join(k["types"]), k["state"], moment(k["expires_at"]),
             moment(k["used_at"]))
            for k in found["keys"]
        ],
    )  # fmt: skip


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option("--overlap", type=Lasts(), metavar="TIME", default="24h", show_default=True, help="The old one goes on.")
@common.AS_JSON
@told
@common.acts
def rotate_key(api: Api, key_id: str, overlap: float, as_json: bool) -> None:
    """Make a key in the place of another one, which goes on for a while.

    Name, role and types are the old one's. A name has two live keys at most.
    """
    _tell_key(api.post(path("keys", key_id, "rotate"), query={"overlap": overlap}, repeatable=False), as_json)


@keys.command("revoke")
@click.argument("key_ids", metavar="ID...", nargs=-1, required=True)
@common.AS_JSON
@told
@common.acts
def revoke_keys(api: Api, key_ids: tuple[str, ...], as_json: bool) -> None:
    """End keys for good: within 10 s they open nothing anywhere."""

    def one(key_id: str) -> dict[str, Any]:
        return {"state": api.post(path("keys", key_id), method="DELETE")["state"]}

    common.each(key_ids, one, as_json)


@click.group()
def users() -> None:
    """Local users of the console: add, list, change, remove."""


@users.command("add")
@click.argument("name")
@click.option("--role", type=ROLE, required=True, help="What they may do.")
@PASSWORD
@told
@common.acts
def add_user(api: Api, name: str, role: str, password_stdin: bool) -> None:
    """Add a user who signs in with a password.

    \b
      millrace users add ada --role admin
    """
    api.post(path("users"), {"name": name, "role": role, "password": _password(password_stdin)}, repeatable=False)
    click.echo(f"{name} may sign in as {role}")


@users.command("list")
@common.AS_JSON
@told
@common.speaks
def list_users(api: Api, as_json: bool) -> None:
    """List users, their roles, and when they were seen last."""
    found = api.get(path("users"))
    if as_json:
        print_json(found)
    else:
        rows = [
            (
                u["name"],
                u["role"],
                "disabled" if u.get("disabled") else "",
                moment(u["created_at"]),
                moment(u["seen_at"]),
            )
            for u in found["users"]
        ]
        print_table(("name", "role", "", "added (UTC)", "seen (UTC)"), rows)


@users.command("password")
@click.argument("name")
@PASSWORD
@told
@common.acts
def set_password(api: Api, name: str, password_stdin: bool) -> None:
    """Give a user another password, and end their sessions."""
    api.post(path("users", name, "password"), {"password": _password(password_stdin)}, method="PUT")
    click.echo(f"{name} has another password; whoever was signed in is not any more")


@users.command("role")
@click.argument("name")
@click.argument("role", type=ROLE)
@told
@common.acts
def set_role(api: Api, name: str, role: str) -> None:
    """Give a user another role, at once."""
    api.post(path("users", name, "role"), {"role": role}, method="PUT")
    click.echo(f"{name} is {role}")


@users.command("disable")
@click.argument("name")
@common.YES
@told
@common.acts
def disable_user(api: Api, name: str, yes: bool) -> None:
    """Let a user sign in no more, and end their sessions."""
    common.confirmed(yes, f"Disable the user {name}?")
    api.post(path("users", name, "disable"))
    click.echo(f"{name} is disabled, and signed out")


@users.command("enable")
@click.argument("name")
@told
@common.acts
def enable_user(api: Api, name: str) -> None:
    """Let a user who was disabled sign in again."""
    api.post(path("users", name, "enable"))
    click.echo(f"{name} may sign in again")


@users.command("remove")
@click.argument("name")
@common.YES
@told
@common.acts
def remove_user(api: Api, name: str, yes: bool) -> None:
    """Remove a user, and end their sessions."""
    common.confirmed(yes, f"Remove the user {name}?")
    api.post(path("users", name), method="DELETE", repeatable=False)
    click.echo(f"{name} is removed")


@users.command("sessions")
@common.AS_JSON
@told
@common.speaks
def list_sessions(api: Api, as_json: bool) -> None:
    """List who is signed in to the console, by password or at the issuer."""
    found = api.get(path("users", "sessions"))
    if as_json:
        print_json(found)
    else:
        rows = [
            (s["name"], s["role"], *(moment(s[when]) for when in ("created_at", "seen_at", "ends_at")))
            for s in found["sessions"]
        ]
        print_table(("name", "role", "since (UTC)", "seen (UTC)", "until (UTC)"), rows)
        if (count := found.get("count", 0)) > len(rows):
            print_line(f"there are {count}: these were seen last")


@users.command("sign-out")
@click.argument("name")
@common.YES
@told
@common.acts
def sign_out(api: Api, name: str, yes: bool) -> None:
    """Sign somebody out everywhere, at once; they may sign in again.

    \b
      millrace users sign-out oidc:ada@example.com
    """
    common.confirmed(yes, f"Sign {name} out everywhere?")
    found = api.post(path("users", name, "sessions"), method="DELETE")
    click.echo(f"{name} is signed out of {found['ended']} session{'s' * (found['ended'] != 1)}")


@click.group()
def audit() -> None:
    """The log of who did what: list it, verify it."""


@audit.command("list")
@common.filtered(
    "Done",
    actor=click.option("--actor", metavar="NAME", help="Who acted."),
    act=click.option("--act", metavar="ACT", help="What was done, or its beginning, like schedule."),
    target=click.option("--target", metavar="NAME", help="To what: an event's id, a type, a schedule."),
)
@common.paged(cursor=click.IntRange(1))
@common.AS_JSON
@told
@common.speaks
def list_audit(api: Api, filters: dict[str, Any], limit: int, cursor: int | None, as_json: bool) -> None:
    """List what was done, the newest first."""
    found = api.get(path("audit"), limit=limit, cursor=cursor, **filters)
    if as_json:
        print_json(found)
        return
    print_table(("n", "at (UTC)", "who", "act", "target"), [_entry(one) for one in found["audit"]])
    common.tell_next(None if found["next_cursor"] is None else str(found["next_cursor"]))


@audit.command("verify")
@click.option("--end", metavar="HASH", help="A hash that was the chain's end once: it must still be in it.")
@common.AS_JSON
@told
@common.speaks
def verify_audit(api: Api, end: str | None, as_json: bool) -> None:
    """Check the chain: which rows were changed, removed or put in.

    Exit code 1 if it does not hold. Keep the hash that it prints where nobody
    who can write the ledger can write, and give it the next time with --end.
    """
    found = api.get(path("audit", "verify"), end=end)
    if as_json:
        print_json(found)
    else:
        for one in found["breaks"]:
            print_line(f"FAULT {one['what']}")
        if found["end_lost"]:
            print_line(f"FAULT no row has the hash {end}: the chain was written anew")
        click.echo(f"{found['rows']} rows, the chain {'holds' if found['holds'] else 'does not hold'}; its end is")
        click.echo(found["end"])
    sys.exit(0 if found["holds"] else 1)


def _entry(one: dict[str, Any]) -> tuple[str, ...]:
    """An entry as a row; below what was done, why."""
    because = one["detail"].get("because")
    act = f"{one['act']}\n{because}" if because else one["act"]
    return str(one["n"]), moment(one["at"]), one["actor"] or "", act, one["target"] or ""


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
