"""The guard: who asks, whether they may, and not too often. In front of Flask's views and on the express lane alike.

On the lane it only glances at what this process knows: an unknown credential, one that was not seen for a while, and
everything unusual goes to Flask, where a thread may ask the ledger or the issuer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import flask

from service import signals
from service.application.buckets import Buckets
from service.application.credentials import Keyring
from service.domain import credentials, errors
from service.domain.access import ANYONE, Kind, Permission, Principal
from service.settings import Settings
from service.web import access, gate, road, sessions, whence

if TYPE_CHECKING:
    from service.web import issuer as issuers

log = logging.getLogger("millrace.access")

NAME = "millrace.guard"  #: among the application's extensions
LONGEST = 8192  #: characters of a credential
#: While access is off: of a request that may come from elsewhere, through a browser or a proxy.
OUTSIDE = frozenset({"HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_X_FORWARDED_FOR"})
LIMITED = "millrace.limited"  #: in a WSGI environment: the request was counted
REFUSED = "millrace.refused"  #: in a WSGI environment: why the request was refused before its body was read
UNKNOWN = "too many requests without a good credential"


class TooManyFailures(errors.TooManyRequests):
    """Too many requests of an address without a good credential."""


class Guard:
    """The guard of one process."""

    def __init__(
        self,
        settings: Settings,
        keyring: Keyring | None = None,
        held: sessions.Sessions | None = None,
        issuer: issuers.Issuer | None = None,
    ) -> None:
        self.is_on = settings.access == "on"
        if self.is_on and (keyring is None or held is None):
            raise ValueError("access is on: a keyring and sessions are wanted")
        self.sessions = held
        self._keyring = keyring
        self.issuer = issuer  #: whose tokens are taken, and where people sign in
        self._bearers = None
        if issuer is not None:
            from service.web import tokens

            self._bearers = tokens.Tokens(settings, issuer)
        self._proxies = settings.trusted_proxies
        self._public_url = settings.public_url
        self._keys = Buckets(settings.rate_key) if settings.rate_key else None
        self._addresses = Buckets(settings.rate_address, name="address")

    # --- on the lane --------------------------------------------------------------------------------------------

    def glance(self, environ: dict[str, Any], type_name: str) -> bool:
        """Whether a post of this type may pass, by what is known without asking anybody. If not, Flask shall see."""
        if not self.is_on:
            if not (OUTSIDE.isdisjoint(environ) and whence.is_here(environ.get("HTTP_HOST", ""), self._public_url)):
                return False
            environ[access.PRINCIPAL] = ANYONE
            return True
        given: str = environ.get("HTTP_AUTHORIZATION", "")
        if given[:7] != "Bearer ":
            return False
        assert self._keyring is not None
        if given.startswith(credentials.PREFIX, 7):
            found = self._keyring.glance(given[7:])
        else:
            found = self._bearers.glance(given[7:]) if self._bearers else None
        if found is None or not (found.may(Permission.SUBMIT) and found.may_submit(type_name)):
            return False
        if self._keys is not None and not self._keys.take(_limit(found)):
            return False
        environ[access.PRINCIPAL], environ[LIMITED] = found, True
        return True

    # --- in Flask -----------------------------------------------------------------------------------------------

    def admit(self, request: flask.Request, wanted: tuple[Permission, ...]) -> None:
        """Let a request pass whose view needs one of these, and note who asks.

        Raises NotSignedIn, BadCredential, NotPermitted, TooManyRequests; LedgerUnavailable, IssuerUnavailable.
        """
        try:
            self._admit(request, wanted)
        except errors.MillraceError as error:
            if (reason := _reason(error)) is not None:
                signals.access_refused.send(None, reason=reason)
            raise

    def _admit(self, request: flask.Request, wanted: tuple[Permission, ...]) -> None:
        environ = request.environ
        if (refused := environ.get(REFUSED)) is not None:
            raise refused
        if not self.is_on:
            whence.check_here(environ, self._public_url)
            environ[access.PRINCIPAL] = ANYONE
            return
        if Permission.ASK in wanted:
            return
        found = environ.get(access.PRINCIPAL) or self._identify(request)
        environ[access.PRINCIPAL] = found
        self._count(found, environ)
        if found.kind is Kind.SESSION and request.method not in whence.SAFE:
            assert self.sessions is not None
            self.sessions.check_form(request)
        _check(found, wanted)

    def foresee(self, request: flask.Request, wanted: tuple[Permission, ...]) -> bool:
        """Whether ``admit`` will refuse a request, by its headers alone; who asks is known by then, and counted."""
        environ = request.environ
        try:
            if not self.is_on:
                whence.check_here(environ, self._public_url)
            elif Permission.ASK not in wanted:
                environ[access.PRINCIPAL] = found = self._identify(request)
                self._count(found, environ)
                _check(found, wanted)
        except errors.MillraceError as error:
            environ[REFUSED] = error
        return REFUSED in environ

    def known(self, request: flask.Request) -> Principal | None:
        """Who is signed in to the console, on a page that is open to all."""
        if not self.is_on:
            return ANYONE
        assert self.sessions is not None
        with gate.reads():
            return self.sessions.look(request)

    def forget_keys(self) -> None:
        """A key was made or revoked here: whoever comes next is told of it at once."""
        if self._keyring is not None:
            self._keyring.forget()

    def address(self, environ: dict[str, Any]) -> str:
        """Where a request comes from: the nearest address that is not a proxy of ours."""
        return whence.address(environ, self._proxies)

    def network(self, environ: dict[str, Any]) -> str:
        """What an address is counted by: itself, or of IPv6 its network of 64 bits, for that is what one has there."""
        return whence.network(self.address(environ))

    def count_failure(self, environ: dict[str, Any]) -> None:
        """Count a request of an address without a good credential. Raises TooManyRequests."""
        network = self.network(environ)
        if not self._addresses.take(network):
            raise self._too_many(self._addresses, network, UNKNOWN, TooManyFailures)

    def headers(self, environ: dict[str, Any]) -> Iterable[tuple[str, str]]:
        """What an answer of Flask's says of the limit of who asks; those of the lane save the time."""
        if self._keys is not None and LIMITED in environ:
            return self._keys.headers(_limit(environ[access.PRINCIPAL])).items()
        return ()

    def _identify(self, request: flask.Request) -> Principal:
        environ = request.environ
        given: str | None = environ.get("HTTP_AUTHORIZATION")
        try:
            if given is not None:
                return self._bearer(given)
            assert self.sessions is not None
            if self.sessions.is_there(request):
                # It costs a query: who only guesses is not let near it.
                network = self.network(environ)
                if not self._addresses.has(network):
                    raise self._too_many(self._addresses, network, UNKNOWN, TooManyFailures)
                with gate.reads():
                    found = self.sessions.look(request)
                if found is not None:
                    return found
                raise errors.BadCredential("the session has ended: sign in again")
            raise errors.NotSignedIn()
        except (errors.NotSignedIn, errors.NotPermitted):  # The latter: a good token of somebody without a role here.
            self.count_failure(environ)
            raise

    def _bearer(self, given: str) -> Principal:
        scheme, _, text = given.partition(" ")
        if scheme.lower() != "bearer" or not text.isascii() or not text.isprintable() or len(text) > LONGEST:
            raise errors.BadCredential("Authorization: Bearer and an API key, or a token, are wanted")
        if text.startswith(credentials.PREFIX):
            assert self._keyring is not None
            return self._keyring.look(text)
        if self._bearers is not None:
            return self._bearers.look(text)
        raise errors.BadCredential("this is no API key, and no issuer of tokens is set (MILLRACE_OIDC_ISSUER)")

    def _count(self, found: Principal, environ: dict[str, Any]) -> None:
        if self._keys is None or LIMITED in environ:
            return
        if not self._keys.take(_limit(found)):
            raise self._too_many(self._keys, _limit(found), "too many requests with this credential")
        environ[LIMITED] = True

    @staticmethod
    def _too_many(
        buckets: Buckets, who: str, why: str, kind: type[errors.TooManyRequests] = errors.TooManyRequests
    ) -> errors.TooManyRequests:
        return kind(why, retry_after=buckets.wait(who), headers=buckets.headers(who))


def make(here: road.Road) -> Guard:
    """The guard that the settings ask for."""
    settings = here.settings
    if settings.access != "on":
        return Guard(settings)
    issuer = None
    if settings.oidc_issuer:
        from service.web import issuer as issuers  # Slow to import, and only who has an issuer needs it.

        issuer = issuers.Issuer(settings.oidc_issuer)
    keyring = Keyring(here.operations.key_ledger, settings.access_secret)
    return Guard(settings, keyring, sessions.Sessions(settings, here.operations.user_ledger), issuer)


def current() -> Guard:
    """The guard of the application that serves this request."""
    found: Guard = flask.current_app.extensions[NAME]
    return found


def unmarked(app: flask.Flask) -> list[str]:
    """The routes that nobody may call while access is on, for nobody has said what they need."""
    return [rule.rule for rule in app.url_map.iter_rules() if not access.all_needed(app.view_functions[rule.endpoint])]


def tell(app: flask.Flask, settings: Settings) -> None:
    """Say at the start how access is."""
    if settings.access == "off":
        log.info(
            "Access is off: whoever reaches %s is an admin (MILLRACE_ACCESS=on asks for keys)",
            settings.http,
            extra={"action": "access.off"},
        )
    elif closed := unmarked(app):
        log.error(
            "Nobody may call %s: no permission is named (service.web.access.needs)",
            ", ".join(closed),
            extra={"action": "access.unmarked"},
        )


def _check(found: Principal, wanted: tuple[Permission, ...]) -> None:
    if not wanted:
        raise errors.NotPermitted("no permission is named for this view, so nobody may call it")
    if not any(found.may(permission) for permission in wanted):
        name = wanted[0].value
        raise errors.NotPermitted(
            f"this needs the permission {name}, which the role {found.role} does not grant", permission=name
        )


def _reason(error: errors.MillraceError) -> str | None:
    """What a refusal is counted as; None when it says nothing of who asks."""
    if isinstance(error, TooManyFailures):
        return "too_many_failures"
    known = {
        errors.BadCredential: "bad_credential",
        errors.NotSignedIn: "not_signed_in",
        errors.NotPermitted: "not_permitted",
        errors.TooManyRequests: "too_many_requests",
    }
    return next((reason for kind, reason in known.items() if isinstance(error, kind)), None)


def _limit(found: Principal) -> str:
    """What requests are counted by."""
    return f"{found.kind}:{found.id or found.name}"
