"""Whether the process lives, and whether it can take events."""

from __future__ import annotations

import logging

import flask

from service.domain import errors as domain_errors
from service.domain.access import Permission
from service.web import access, answer, errors, road

log = logging.getLogger("millrace.web")

pages = flask.Blueprint("health", __name__)


@pages.get("/healthz")
@access.needs(Permission.ASK)
def healthz() -> answer.Json:
    """The process answers. A server that it needs being down is no reason to start it again."""
    return answer.Json({"status": "ok"})


@pages.get("/readyz")
@access.needs(Permission.ASK)
def readyz() -> flask.Response:
    """Ready to take events: the ledger is there and migrated. The broker is told of, and waited for by the tickets."""
    checks = _checks()
    if checks["ledger"] == "up" and checks["schema"] == "ok":
        return answer.Json({"status": "ready", "checks": checks})
    return errors.problem(
        503,
        "Not ready",
        "Events cannot be taken at the moment.",
        members={"checks": checks},
        headers={"Retry-After": str(errors.RETRY_AFTER)},
    )


def _checks() -> dict[str, str]:
    checks = {"ledger": "up", "schema": "ok", "broker": "down"}
    try:
        road.current().queries.check()
    except domain_errors.LedgerUnavailable as error:
        log.warning("Not ready: %s", error, extra={"action": "web.not_ready"})
        checks.update(ledger="down", schema="unknown")
    except domain_errors.SchemaNotReady as error:
        log.warning("Not ready: %s", error, extra={"action": "web.not_ready"})
        checks.update(schema="not ready")
    up = road.current().publisher.up
    checks["broker"] = "unknown" if up is None else "up" if up else "down"
    return checks
