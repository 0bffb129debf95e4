"""The verbs of strays: messages on our queues that were not ours."""

from __future__ import annotations

from typing import Any

import click

from service.terminal import moment, print_json, print_table, told
from service.verbs import common
from service.verbs.api import Api, path


@click.group(invoke_without_command=True)
@common.paged()
@common.AS_JSON
@click.pass_context
@told
@common.speaks
def strays(api: Api, ctx: click.Context, limit: int, cursor: str | None, as_json: bool) -> None:
    """List messages on our queues that were not ours; look into them."""
    if ctx.invoked_subcommand is not None:
        return
    found = api.get(path("strays"), limit=limit, cursor=cursor)
    if as_json:
        print_json(found)
        return
    print_table(
        ("stray", "filed (UTC)", "queue", "reason", "bytes"),
        [(r["id"], moment(r["filed_at"]), r["queue"], r["reason"], str(r["bytes"])) for r in found["strays"]],
    )
    common.tell_next(found["next_cursor"])


@strays.command()
@click.argument("stray_id", metavar="ID")
@common.REVEAL
@told
@common.speaks
def show(api: Api, stray_id: str, reveal: str | None) -> None:
    """Print a stray as JSON: properties, headers; with --reveal its body (base64)."""
    print_json(api.get(path("strays", stray_id), reveal=reveal))


@strays.command()
@click.argument("stray_ids", metavar="ID...", nargs=-1, required=True)
@common.AS_JSON
@told
@common.acts
def discard(api: Api, stray_ids: tuple[str, ...], as_json: bool) -> None:
    """Delete strays for good."""

    def one(stray_id: str) -> dict[str, Any]:
        api.post(path("strays", stray_id), method="DELETE")
        return {"state": "discarded"}

    common.each(stray_ids, one, as_json)
