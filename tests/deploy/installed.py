"""Millrace on a machine with a real systemd, laid out as ``docs/deploy.md`` types it, and its servers, with TLS."""

from __future__ import annotations

import http.client
import pathlib
import re
import subprocess

from service.client import Client
from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import roles, servers
from tests.deploy.machine import Machine
from tests.patience import PATIENCE
from tests.processes import ROOT

PAGE = (ROOT / "docs/deploy.md").read_text().partition("\n## systemd\n")[2].partition("\n## ")[0]
#: What is typed for a first version, to start it, and for a new one.
LAY_OUT, START, UPGRADE = (
    text for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S) if not language
)
SERVICES = ("millrace-web", "millrace-clock", *(f"millrace-worker@{q}" for q in ("events", "periodic", "http")))
CHECKOUT = "/srv/checkout"
#: Handlers for what the example has none for, below a folder that ``millrace.env`` names.
APP = """
import time
from workers import Context, handler

@handler("burden.slow", bundle=1)
def slow(payload, ctx: Context):
    print("slow begins:", payload["name"], flush=True)
    time.sleep(payload["seconds"])

@handler("burden.large", bundle=1)
def large(payload, ctx: Context):
    return len(bytes(payload["bytes"]).replace(b"\\0", b"x"))
"""


class Installed:
    """The machine, its servers, and an administrator's client of the door."""

    def __init__(self, machine: Machine, folder: pathlib.Path) -> None:
        self.machine = machine
        self.folder = folder
        self.door_port, self.tls_port = ports.free(), ports.free()
        self.ledger = PostgresServer(folder / "postgres", options=servers.FAST, tls=True)
        certificates = folder / "authority"
        options = {
            "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
            "ssl_options.cacertfile": f"{certificates}/ca.crt",
            "ssl_options.certfile": f"{certificates}/mq.example.com.crt",
            "ssl_options.keyfile": f"{certificates}/mq.example.com.key",
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
        }
        self.broker = RabbitNode(folder / "rabbitmq", options=options)

    def prepare(self) -> Installed:
        """All that the page says, up to the migration and the start."""
        self.ledger.start()
        taken = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True).stdout
        self.machine.run(f"mkdir -p {CHECKOUT} && tar -x -C {CHECKOUT}", feed=taken)
        self.machine.run("echo 127.0.0.1 db.example.com mq.example.com localhost > /etc/hosts")
        self.type_in(LAY_OUT)
        self._certify()
        self._tell_of_another_address()
        self.machine.put("/srv/millrace/burden_app/__init__.py", "")
        self.machine.put("/srv/millrace/burden_app/handlers.py", APP)
        self.machine.run(
            "sed -i -e 's/^MILLRACE_APPS=.*/&,burden_app/' -e 's/^#PYTHONPATH=/PYTHONPATH=/' /etc/millrace/millrace.env"
        )
        self._administer()
        return self

    def type_in(self, block: str, **places: str) -> str:
        """Type a block of the page in the checkout, with the servers' ports in it, and other words for some."""
        for host, port in (("db", self.ledger.port), ("mq", self.tls_port)):
            block = re.sub(rf"(?<=://{host}\.example\.com)(?=/)", f":{port}", block)
        for word, here in places.items():
            assert word in block
            block = block.replace(word, here)
        return self.machine.run(f"cd {CHECKOUT}\n{block}")

    def door(self, key: str) -> Client:
        """The door, for whoever has this key."""
        return Client(f"http://127.0.0.1:{self.door_port}", key=key, timeout=60 * PATIENCE, deadline=60 * PATIENCE)

    REFUSED = -1  #: nobody listens at the door's address

    def ask(self, path: str) -> int:
        """A new connection's request to the door; the status, 0 where the connection broke."""
        connection = http.client.HTTPConnection("127.0.0.1", self.door_port, timeout=30 * PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except ConnectionRefusedError:
            return self.REFUSED
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def stop(self) -> None:
        """End the servers."""
        self.broker.stop()
        self.ledger.stop()

    def _certify(self) -> None:
        """Have the servers show what deploy/certificates has made for them."""
        self.machine.run(f"cd {CHECKOUT} && deploy/certificates authority secrets db.example.com")
        authority = self.folder / "authority"
        authority.mkdir()
        for name in ("ca.crt", *(f"{host}.example.com.{kind}" for host in ("db", "mq") for kind in ("crt", "key"))):
            (authority / name).write_text(self.machine.run(f"cat {CHECKOUT}/authority/{name}"))
        # The system's authorities, whom the page's address trusts, sign for a real db.example.com.
        self.machine.run(f"cat {CHECKOUT}/authority/ca.crt >> /etc/ssl/certs/ca-certificates.crt")
        for kind, target in (("crt", self.ledger.cluster.certificate), ("key", self.ledger.cluster.key)):
            target.write_text((authority / f"db.example.com.{kind}").read_text())
        self.ledger.execute("select pg_reload_conf()")
        self.broker.start()

    def _tell_of_another_address(self) -> None:
        """As the page says: 5000 may be somebody else's, for the network is shared."""
        address = f"127.0.0.1:{self.door_port}"
        self.machine.put(
            "/etc/systemd/system/millrace-web.socket.d/override.conf",
            f"[Socket]\nListenStream=\nListenStream={address}\n",
        )
        self.machine.run(f"sed -i 's/^MILLRACE_HTTP=.*/MILLRACE_HTTP={address}/' /etc/millrace/millrace.env")
        self.machine.run("systemctl daemon-reload")

    def _administer(self) -> None:
        """What an administrator of each server does."""
        scripts = [(ROOT / "deploy/postgresql/roles.sql").read_text()]
        scripts.append(self.machine.run(f"cat {CHECKOUT}/secrets/postgresql_passwords.sql"))
        roles.run(self.ledger.dsn, "\n".join(scripts))
        words = "millrace topology definitions --passwords secrets/rabbitmq_passwords"
        definitions = self.folder / "definitions.json"
        definitions.write_text(self.machine.run(f"cd {CHECKOUT} && {words}"))
        self.broker.ctl("import_definitions", str(definitions))
