"""Signing in to the console: by name and password, or at the issuer (OpenID Connect, code flow with PKCE).

Source: OpenID Connect Core 1.0; RFC 7636 (PKCE); RFC 9700. What must come back from the issuer is kept meanwhile in a
signed cookie of the browser that asked: state, nonce, verifier, and the page that was wanted.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import logging
import pathlib
import re
import secrets
import urllib.parse
from typing import Any

import flask
import itsdangerous
import jinja2

from service import signals
from service.domain import errors
from service.domain.access import Permission, Role
from service.web import access, cookies, gate, guard, road, sessions, whence

log = logging.getLogger("millrace.access")

pages = flask.Blueprint("sign_in", __name__, url_prefix="/console")

PLACE = "/console/sign-in"
BACK = "/console/sign-in/return"  #: where the issuer sends browsers
FLOW = "millrace_flow"  #: the cookie of a sign-in that is under way
FLOW_FOR = 600  #: seconds
SCOPE = "openid profile email"
#: A page of the console, and nothing that a browser could take for another host.
NEXT = re.compile(r"/console(?:/(?!\.)[A-Za-z0-9_.~%-]+)*/?(?:\?[A-Za-z0-9_.~%&=+:-]*)?")


@pages.get("/sign-in")
@access.needs(Permission.ASK)
def show() -> Any:
    """The page to sign in."""
    keeper = _counted()
    wanted = next_page(flask.request.args.get("next"))
    if not keeper.is_on or keeper.known(flask.request) is not None:
        return flask.redirect(wanted, 303)
    return _page(wanted)


@pages.post("/sign-in")
@access.needs(Permission.ASK)
def sign_in() -> Any:
    """Sign in by name and password."""
    keeper, request = _counted(), flask.request
    if not keeper.is_on or keeper.sessions is None:
        return flask.redirect("/console", 303)
    sessions.check_origin(request, road.current().settings.public_url)
    name, wanted = request.form.get("user", "")[:100], next_page(request.form.get("next"))
    try:
        users = road.current().operations.users
        found = users.sign_in(name, request.form.get("password", ""), keeper.network(request.environ))
        response: Any = flask.redirect(wanted, 303)
        keeper.sessions.begin(request, response, name=name, role=found.role, verified=found.verified)
    except errors.BadCredential as error:
        _tell_failed(name)
        return _page(wanted, name, f"{str(error).capitalize()}.", 401)
    except errors.TooManyRequests as error:
        _tell_failed(name)
        return _page(wanted, name, f"Too many sign-ins failed: try again in {error.retry_after} s.", 429, error)
    return response


@pages.get("/sign-in/company")
@access.needs(Permission.ASK)
def go_to_issuer() -> Any:
    """Send the browser to the issuer."""
    settings = road.current().settings
    issuer = _counted().issuer
    if issuer is None or not settings.oidc_client_id:
        flask.abort(404, "No company sign-in is set (MILLRACE_OIDC_CLIENT_ID).")
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code", "client_id": settings.oidc_client_id, "redirect_uri": _return_address(),
        "scope": SCOPE, "state": state, "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    place = issuer.endpoint("authorization_endpoint")
    response: Any = flask.redirect(f"{place}{'&' if '?' in place else '?'}{urllib.parse.urlencode(query)}", 303)
    flow = {"state": state, "nonce": nonce, "verifier": verifier, "next": next_page(flask.request.args.get("next"))}
    cookies.put(response, flask.request, settings.public_url, FLOW, _signer().dumps(flow), max_age=FLOW_FOR)
    return response


@pages.get("/sign-in/return")
@access.needs(Permission.ASK)
def come_back() -> Any:
    """Take from the issuer who it is."""
    keeper, request, settings = _counted(), flask.request, road.current().settings
    if keeper.issuer is None or keeper.sessions is None or not settings.oidc_client_id:
        flask.abort(404, "No company sign-in is set (MILLRACE_OIDC_CLIENT_ID).")
    try:
        flow = _signer().loads(cookies.get(request, settings.public_url, FLOW), max_age=FLOW_FOR)
        if not hmac.compare_digest(flow["state"].encode(), request.args.get("state", "").encode()):
            raise errors.BadCredential("the answer belongs to another sign-in")
        if "error" in request.args or "code" not in request.args:
            raise errors.BadCredential(f"the company's answer is {request.args.get('error', 'empty')[:100]}")
        with gate.issuer():
            name, role = _who(flow, request.args["code"])
    except (errors.BadCredential, errors.NotPermitted, errors.IssuerUnavailable, itsdangerous.BadData) as error:
        signals.access_refused.send(None, reason="bad_credential")
        log.warning("A company sign-in has failed: %s", error, extra={"action": "access.sign_in_failed"})
        why = "it took too long, or began in another browser" if isinstance(error, itsdangerous.BadData) else error
        response = _page("/console", company_fault=f"Company sign-in has failed: {why}.", status=401)
        cookies.drop(response, request, settings.public_url, FLOW)
        return response
    done: Any = flask.redirect(flow["next"], 303)
    keeper.sessions.begin(request, done, name=name, role=role, verified=None)
    cookies.drop(done, request, settings.public_url, FLOW)
    return done


@pages.get("/sign-out")
@access.needs(Permission.ASK)
def ask_sign_out() -> Any:
    """The page to sign out: a link alone must not do it."""
    keeper = _counted()
    if not keeper.is_on or keeper.sessions is None or (found := keeper.known(flask.request)) is None:
        return flask.redirect(PLACE, 303)
    return _render("sign_out.html", name=found.name, csrf=keeper.sessions.form_token(flask.request))


@pages.post("/sign-out")
@access.needs(Permission.ASK)
def sign_out() -> Any:
    """End the session."""
    keeper = _counted()
    response = flask.redirect(PLACE, 303)
    if keeper.is_on and keeper.sessions is not None and keeper.sessions.is_there(flask.request):
        keeper.sessions.check_form(flask.request)
        keeper.sessions.end(flask.request, response)  # type: ignore[arg-type]
    return response


def instead(request: flask.Request) -> Any:
    """What a browser is answered on a page of the console where nobody is signed in; None for programs."""
    if not request.path.startswith("/console"):
        return None
    place = f"{PLACE}?{urllib.parse.urlencode({'next': next_page(request.full_path.rstrip('?'))})}"
    if "HX-Request" in request.headers:
        return flask.Response("", 401, {"HX-Redirect": PLACE}, mimetype="text/html")
    return flask.redirect(place, 303) if request.method in whence.SAFE else None


def next_page(given: str | None) -> str:
    """The page that was wanted, if it is one of the console."""
    given = given or ""
    return given if NEXT.fullmatch(given) and len(given) < 1000 and not given.startswith(PLACE) else "/console"


def form_token() -> str:
    """What forms carry in the field ``csrf``, and scripts in ``X-CSRF-Token``."""
    keeper = guard.current()
    return keeper.sessions.form_token(flask.request) if keeper.is_on and keeper.sessions is not None else ""


def _counted() -> guard.Guard:
    """The guard, which counts what strangers ask of the ledger and of the issuer. Raises TooManyRequests."""
    keeper = guard.current()
    if keeper.is_on:
        keeper.count_failure(flask.request.environ)
    return keeper


def _who(flow: dict[str, str], code: str) -> tuple[str, Role]:
    """(name, role) of whom the issuer vouches for. Raises BadCredential, NotPermitted, IssuerUnavailable."""
    from service.web import tokens

    settings, issuer = road.current().settings, guard.current().issuer
    assert issuer is not None
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": _return_address(),
        "client_id": settings.oidc_client_id, "code_verifier": flow["verifier"],
    }  # fmt: skip
    if settings.oidc_client_secret:
        form["client_secret"] = settings.oidc_client_secret
    answered = issuer.ask(issuer.endpoint("token_endpoint"), form)
    token = answered.get("id_token") if isinstance(answered, dict) else None
    if not isinstance(token, str):
        raise errors.BadCredential("the company's answer holds no ID token")
    audience = (settings.oidc_client_id,)
    claims = tokens.verify(token, issuer, settings.oidc_algorithms, audience)
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), flow["nonce"].encode()):
        raise errors.BadCredential("the ID token belongs to another sign-in")
    if claims.get("azp", settings.oidc_client_id) != settings.oidc_client_id:
        raise errors.BadCredential("the ID token was made for another program (azp)")
    if (role := tokens.role_of(claims, settings)) is None:
        raise errors.NotPermitted(f"you have no role here (claim {settings.oidc_role_claim})")
    return tokens.name_of(claims), role


def _return_address() -> str:
    return f"{road.current().settings.public_url.rstrip('/')}{BACK}"


def _signer() -> itsdangerous.URLSafeTimedSerializer:
    # All secrets check, the last of the list signs.
    return itsdangerous.URLSafeTimedSerializer(list(reversed(road.current().settings.access_secret)), salt="sign-in")


def _tell_failed(name: str) -> None:
    signals.access_refused.send(None, reason="bad_credential")
    log.warning("A sign-in has failed", extra={"action": "access.sign_in_failed", "user": name})


def _page(
    wanted: str, user: str = "", fault: str = "", status: int = 200, slow: errors.TooManyRequests | None = None,
    company_fault: str = "",
) -> Any:  # fmt: skip
    here = road.current()
    company = f"{PLACE}/company?{urllib.parse.urlencode({'next': wanted})}" if here.settings.oidc_client_id else ""
    with gate.reads():
        local = here.operations.users.any()
    values = {
        "next": wanted, "user": user, "fault": fault, "company": company, "company_fault": company_fault,
        "local": local, "idle": int(here.settings.session_idle // 60),
    }  # fmt: skip
    response = _render("sign_in.html", status, **values)
    if slow is not None:
        response.headers["Retry-After"] = str(slow.retry_after)
    return response


@functools.cache
def _templates() -> jinja2.Environment:
    folder = pathlib.Path(__file__).parent / "console/templates"
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


def _render(template: str, status: int = 200, **values: Any) -> flask.Response:
    text = _templates().get_template(template).render(values)
    return flask.Response(text, status, {"Cache-Control": "private, no-store"}, mimetype="text/html")
