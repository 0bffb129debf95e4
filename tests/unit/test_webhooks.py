"""Signatures by the Standard Webhooks scheme, and the settings of requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress

import pytest

from service import settings
from service.domain import errors, webhooks
from service.telemetry import masking

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_a_signature_is_the_one_of_the_specification() -> None:
    # The example of the reference implementations of Standard Webhooks.
    keys = webhooks.keys_for([webhooks.read(f"a={KEY}")], "a", "example.com")
    found = webhooks.headers(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_key_is_changed_both_sign() -> None:
    known = [webhooks.read(f"a={KEY}"), webhooks.read(f"a={OTHER}"), webhooks.read(f"b={OTHER}")]
    found = webhooks.headers(webhooks.keys_for(known, "a", "h"), "id", 1, None)["webhook-signature"].split()
    assert len(found) == 2
    second = base64.b64encode(hmac.digest(bytes(range(32)), b"id.1.", hashlib.sha256)).decode()
    assert found[1] == f"v1,{second}"


def test_a_secret_may_sign_for_one_host_only() -> None:
    known = [webhooks.read(f"a@hooks.example.com={KEY}")]
    assert webhooks.keys_for(known, "a", "hooks.example.com")
    with pytest.raises(errors.SecretNotFound, match="it signs for other hosts only"):
        webhooks.keys_for(known, "a", "evil.example")
    with pytest.raises(errors.SecretNotFound, match="MILLRACE_WEBHOOK_SECRETS"):
        webhooks.keys_for(known, "b", "hooks.example.com")


def test_secrets_and_networks_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_WEBHOOK_SECRETS", f"a={KEY},\n b@h.example={OTHER},")
    monkeypatch.setenv("MILLRACE_REQUEST_NETWORKS", "10.0.0.0/8, fd00::/8,192.168.1.7")
    found = settings.load()
    assert [(s.name, s.host) for s in found.webhook_secrets] == [("a", None), ("b", "h.example")]
    assert found.webhook_secrets[1].key == bytes(range(32))
    assert found.request_networks == tuple(
        ipaddress.ip_network(n) for n in ("10.0.0.0/8", "fd00::/8", "192.168.1.7/32")
    )
    assert KEY.removeprefix("whsec_") not in repr(found)
    assert repr(found.webhook_secrets[0].key) not in repr(found) + repr(found.webhook_secrets)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WEBHOOK_SECRETS", KEY, "MILLRACE_WEBHOOK_SECRETS: entry 1: name=whsec_… is wanted"),
        ("WEBHOOK_SECRETS", f"a={KEY},b=s3cr3t-as-it-is", "entry 2: name=whsec_… is wanted"),
        ("WEBHOOK_SECRETS", "a=whsec_c2hvcnQ=", "entry 1: a: the base64 of 24 to 64 bytes is wanted after whsec_"),
        ("WEBHOOK_SECRETS", "a=whsec_s3cr3t!!", "the base64 of 24 to 64 bytes"),
        ("REQUEST_NETWORKS", "10.0.0.1/8", "MILLRACE_REQUEST_NETWORKS: 10.0.0.1/8 has host bits set"),
        ("REQUEST_NETWORKS", "internal", "MILLRACE_REQUEST_NETWORKS: 'internal' does not appear to be"),
        ("REQUEST_KEEP", "-1", "MILLRACE_REQUEST_KEEP"),
    ],
)
def test_a_wrong_one_is_told_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", value)
    with pytest.raises(errors.SettingsError) as caught:
        settings.load()
    assert told in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_secret_of_webhooks_does_not_get_into_logs() -> None:
    assert masking.Mask().text(f"with {KEY} in it") == "with *** in it"
