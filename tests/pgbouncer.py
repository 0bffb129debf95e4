"""A real pgbouncer in transaction mode before a PostgreSQL, private and ended by its own id."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import signal
import urllib.parse
from collections.abc import Iterator

import psycopg2

from service.local import ports, spawn, unprivileged
from tests import servers
from tests.patience import wait

POOL = 4  #: connections to PostgreSQL that all clients share


def program() -> pathlib.Path:
    """Where pgbouncer is; raises LocalError."""
    found = shutil.which("pgbouncer", path=spawn.PATH)
    if found is None:
        raise spawn.LocalError("pgbouncer was not found: install pgbouncer")
    return pathlib.Path(found)


@contextlib.contextmanager
def before(address: str, folder: pathlib.Path) -> Iterator[str]:
    """The address of the same database through pgbouncer."""
    servers.need("pgbouncer", program)
    parts = urllib.parse.urlsplit(address)
    port = ports.free()
    (folder / "userlist.txt").write_text(f'"{parts.username}" "{urllib.parse.unquote(parts.password or "")}"\n')
    configuration = f"""[databases]
* = host={parts.hostname} port={parts.port}
[pgbouncer]
listen_addr = {ports.LOOPBACK}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
pool_mode = transaction
default_pool_size = {POOL}
max_client_conn = 200
"""
    found = parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}").geturl()
    with running(configuration, folder, found):
        yield found


@contextlib.contextmanager
def running(configuration: str, folder: pathlib.Path, address: str) -> Iterator[None]:
    """A pgbouncer in a folder, which holds what its configuration names; it answers at this address."""
    servers.need("pgbouncer", program)
    (folder / "pgbouncer.ini").write_text(configuration)
    way = unprivileged.way(program(), folder)
    log = folder / "pgbouncer.log"
    with log.open("wb") as output:
        again = spawn.dies_with_parent(signal.SIGTERM) if way.prefix else []
        argv = [*way.prefix, *again, str(program()), str(folder / "pgbouncer.ini")]
        process = spawn.spawn(argv, environment=spawn.ENVIRONMENT, output=output)
    try:
        wait(lambda: process.poll() is not None or _answers(address), 20, "pgbouncer answers")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        spawn.end(process, signal.SIGTERM, 10)


def _answers(address: str) -> bool:
    try:
        psycopg2.connect(address, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True
