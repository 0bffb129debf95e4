"""``deploy/certificates``: what it makes, and when anew. ``test_broker_users.py`` has a broker take them."""

from __future__ import annotations

import pathlib
import stat
import subprocess

from tests.processes import ROOT

KINDS = ("migrate", "web", "worker", "clock")


def make(folder: pathlib.Path, *hosts: str) -> None:
    words = [ROOT / "deploy/certificates", folder / "authority", folder / "secrets", *hosts]
    subprocess.run(words, check=True, capture_output=True)


def openssl(*words: str | pathlib.Path) -> str:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout


def test_each_kind_of_process_gets_its_own_and_a_host_its_name(tmp_path: pathlib.Path) -> None:
    make(tmp_path, "mq.test")
    authority = tmp_path / "authority"
    for kind in KINDS:
        folder = tmp_path / "secrets" / kind
        assert {path.name for path in folder.iterdir()} == {"ca.crt", "client.crt", "client.key"}
        assert openssl("x509", "-in", folder / "client.crt", "-noout", "-subject").split() == [
            "subject=CN", "=", f"millrace-{kind}"
        ]  # fmt: skip
        openssl("verify", "-purpose", "sslclient", "-CAfile", folder / "ca.crt", folder / "client.crt")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server = authority / "mq.test.crt"
    openssl("verify", "-purpose", "sslserver", "-verify_hostname", "mq.test", "-CAfile", authority / "ca.crt", server)
    assert stat.S_IMODE(authority.stat().st_mode) == 0o700
    assert stat.S_IMODE((authority / "ca.key").stat().st_mode) == 0o600


def test_what_is_there_stays_until_it_ends_within_a_month(tmp_path: pathlib.Path) -> None:
    make(tmp_path)
    paths = [tmp_path / "secrets" / kind / "client.crt" for kind in KINDS] + [tmp_path / "authority/ca.crt"]
    before = [path.read_bytes() for path in paths]
    make(tmp_path)
    assert [path.read_bytes() for path in paths] == before
    soon = paths[1]
    openssl("req", "-new", "-key", soon.with_suffix(".key"), "-subj", "/CN=soon", "-out", tmp_path / "csr")
    words = ("x509", "-req", "-in", tmp_path / "csr", "-CA", paths[-1], "-CAkey", tmp_path / "authority/ca.key")
    openssl(*words, "-CAcreateserial", "-days", "20", "-out", tmp_path / "ends")
    (tmp_path / "ends").replace(soon)
    make(tmp_path)
    assert [path.read_bytes() == old for path, old in zip(paths, before, strict=True)] == [True, False, *[True] * 3]
    openssl("x509", "-in", soon, "-noout", "-checkend", str(100 * 86_400))
