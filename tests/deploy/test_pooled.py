"""The road through a pgbouncer as ``docs/postgresql.md`` has it: TLS on both sides, a role for each kind of process."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
from collections.abc import Iterator

import httpx
import psycopg2
import pytest

from service.ledger import grants
from service.local import ports
from service.local.postgres import PostgresServer
from tests import pgbouncer, roles, servers
from tests.patience import wait
from tests.processes import ROOT
from tests.road import Door, Road

pytestmark = [pytest.mark.heavy, pytest.mark.postgres, pytest.mark.rabbitmq]

PAGE = (ROOT / "docs/postgresql.md").read_text()
(INI,) = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
(USERLIST,) = [text for text in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if "userlist" in text]
PASSWORD = "a password of a test"
OURS = "application_name like 'millrace-%' and datname = 'millrace'"


class Pooled:
    """A PostgreSQL and a pgbouncer that show certificates of one authority, and the roles' addresses through it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.port = ports.free()
        self.server = PostgresServer(folder / "postgres", options=servers.FAST, tls=True)
        self.pool = folder / "pool"
        self.pool.mkdir()

    def prepare(self) -> str:
        """Start the server, and make what deploy/ makes; pgbouncer's configuration."""
        address = f"postgresql://localhost:{self.port}/millrace?sslmode=verify-full&sslrootcert=ca.crt"
        self._deploy("secrets", "secrets", address, "amqps://mq.test/")
        self._deploy("certificates", "authority", "secrets", "localhost")
        authority, cluster = self.folder / "authority", self.server.cluster
        cluster.certificate.write_text((authority / "localhost.crt").read_text())
        cluster.key.write_text((authority / "localhost.key").read_text())
        self.server.start()
        scripts = (ROOT / "deploy/postgresql/roles.sql", self.folder / "secrets/postgresql_passwords.sql")
        roles.run(self.server.dsn, "\n".join(path.read_text() for path in scripts))
        subprocess.run(["bash", "-euc", USERLIST], cwd=self.folder, check=True)
        for name in ("userlist.txt", "authority/ca.crt", "authority/localhost.crt", "authority/localhost.key"):
            (self.pool / pathlib.Path(name).name).write_text((self.folder / name).read_text())
        places = {"/etc/pgbouncer/pool.internal": f"{self.pool}/localhost", "/etc/pgbouncer": str(self.pool)}
        places |= {"host=db.internal port=5432": f"host=localhost port={self.server.port}", "_size = 20": "_size = 4"}
        found = INI
        for place, here in places.items():
            assert place in found
            found = found.replace(place, here)
        return found.replace(
            "listen_addr = *", f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir ="
        )

    def address(self, kind: str) -> str:
        """The address that a kind of process has, as it reads it."""
        folder = self.folder / "secrets" / kind
        return (folder / "database_url").read_text().strip().replace("=ca.crt", f"={folder}/ca.crt")

    def _deploy(self, program: str, *words: str) -> None:
        subprocess.run([ROOT / "deploy" / program, *words], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooled]:
    """Both run."""
    servers.need_postgres()
    found = Pooled(tmp_path_factory.mktemp("pooled"))
    try:
        configuration = found.prepare()
        with pgbouncer.running(configuration, found.pool, found.address("web")):
            yield found
    finally:
        found.server.stop()


class TestPooled:
    """One of each, and what people do."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(
        cls, pooled: Pooled, rabbitmq: servers.RabbitNode, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Road]:
        folder = tmp_path_factory.mktemp("road")
        vhost = rabbitmq.add_vhost(f"pooled-{os.getpid()}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT / "examples/numbers"))
            found = Road(pooled.server.dsn, vhost, folder, apps="numbers_app")
            try:
                migration = found.run("migrate", "service", "migrate", database_url=pooled.address("migrate"))
                assert migration.wait_for_end(60) == 0, migration.text()
                found.declare()
                yield found
            finally:
                print(found.logs(), (pooled.pool / "pgbouncer.log").read_text())  # noqa: T201  # Shown when it has failed.
                found.stop()

    @pytest.fixture(scope="class")
    @classmethod
    def door(cls, road: Road, pooled: Pooled) -> Door:
        found = road.web(database_url=pooled.address("web"), access="on", access_secret="of-a-test" * 4)
        road.worker(database_url=pooled.address("worker"))
        road.clock(database_url=pooled.address("clock"))
        return found

    @pytest.fixture(scope="class")
    @classmethod
    def http(cls, road: Road, door: Door, pooled: Pooled) -> Iterator[httpx.Client]:
        """The door, for an administrator whose key was made on the host."""
        words = ("service", "keys", "create", "ada", "--role", "admin")
        making = road.run("keys", *words, database_url=pooled.address("web"), access_secret="of-a-test" * 4)
        assert making.wait_for_end(30) == 0, making.text()
        (key,) = re.findall(r"^mr_\S+$", making.text(), re.MULTILINE)
        with httpx.Client(base_url=f"http://{door.address}", headers={"Authorization": f"Bearer {key}"}) as found:
            yield found

    def test_an_event_and_a_tick_are_worked(self, road: Road, http: httpx.Client) -> None:
        payload = {"rid": 1, "numbers": [1], "jobtodo": ["sum"]}
        ids = [http.post("/v1/events/numbers.requested", json=payload | {"rid": n}).json()["id"] for n in range(100)]
        road.wait_until_closed(ids, 60)
        assert road.states(ids) == {"succeeded": 100}
        ran = "select count(*) from millrace.events where schedule is not null and state = 'succeeded'"
        road.sql("update millrace.schedules set next_due = now() where next_due > now()")
        wait(lambda: road.one(ran) >= 1, 30, "a tick is worked")

    def test_somebody_signs_in_to_the_console_and_acts(self, http: httpx.Client) -> None:
        user = {"name": "grace", "role": "operator", "password": PASSWORD}
        assert http.post("/v1/users", json=user).status_code == 201
        with httpx.Client(base_url=http.base_url) as browser:
            form = {"user": "grace", "password": PASSWORD}
            answer = browser.post("/console/sign-in", data=form)
            assert (answer.status_code, answer.headers["Location"]) == (303, "/console")
            for page in ("/console", "/console/events", "/console/schedules", "/console/dead"):
                assert browser.get(page).status_code == 200, page
            (token,) = set(re.findall(r'name="csrf" value="(\w+)"', browser.get("/console/sign-out").text))
            for act in ("pause", "resume"):
                acted = browser.post(f"/v1/types/numbers.requested/{act}", headers={"X-CSRF-Token": token})
                assert acted.status_code == 200, acted.text

    def test_each_is_itself_at_the_server_by_tls_and_few_connections_serve_all(
        self, road: Road, pooled: Pooled, http: httpx.Client
    ) -> None:
        sessions = f"pg_stat_activity join pg_stat_ssl using (pid) where {OURS}"
        seen = road.sql(f"select usename::text, ssl, count(*) from {sessions} group by 1, 2")
        expected = {grants.WEB, grants.WORKER, grants.CLOCK, grants.MIGRATOR}  # The last one's connection is kept.
        assert {(role, ssl) for role, ssl, _ in seen} <= {(role, True) for role in expected}
        assert {role for role, _, _ in seen} >= expected - {grants.MIGRATOR}
        assert max(n for _, _, n in seen) <= pgbouncer.POOL
        assert not re.search("permission denied|Traceback", road.logs())

    def test_the_doctor_finds_nothing(self, road: Road, pooled: Pooled, http: httpx.Client) -> None:
        doctor = road.run("doctor", "service", "doctor", database_url=pooled.address("web"))
        doctor.wait_for_end(30)
        assert "FAULT" not in doctor.text(), doctor.text()

    def test_who_comes_without_tls_or_with_anothers_password_is_refused(self, pooled: Pooled, road: Road) -> None:
        good = pooled.address("web")
        psycopg2.connect(good).close()
        for bad in (good.replace("verify-full", "disable"), re.sub(":[0-9a-f]{48}@", f":{'0' * 48}@", good)):
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(bad)
