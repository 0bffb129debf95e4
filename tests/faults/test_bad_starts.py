"""What cannot start says why, in one line that names the setting and the cure, and never in a traceback."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from service import bootstrap
from service.ledger import migrate, schema
from service.local import ports
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.patience import PATIENCE
from tests.road import Road

NOBODY = "postgresql://nobody:s3cr3t-word@127.0.0.1:1/nowhere"  #: a ledger that is not there
NOWHERE = "amqp://nobody:s3cr3t-word@127.0.0.1:1/"  #: a broker that is not there
SECRET = "s3cr3t-word"

COMMANDS = {
    "web": ["service", "web"],
    "worker": ["celery", "-A", "workers", "worker", "-Q", "events,periodic", "-P", "solo", "--without-mingle"],
    "clock": ["celery", "-A", "schedules", "beat"],
    "migrate": ["service", "migrate"],
    "topology": ["service", "topology", "apply"],
    "doctor": ["service", "doctor"],
    "rebuild": ["service", "rebuild"],
    "up": ["service", "up"],
}

#: Apps that are written into the folder where the commands are started.
APPS = {
    "broken_app/__init__.py": "",
    "broken_app/handlers.py": "import os\nimport nowhere_to_be_found\n",
    "torn_app/__init__.py": "def work(:\n",
    "silent_app/__init__.py": "",
    "views_app/__init__.py": "",
    "views_app/views.py": "raise RuntimeError('no templates')\n",
    "lenient_app/__init__.py": "",
    "lenient_app/handlers.py": (
        "from celery import signals\nfrom workers import handler\n\nhandler('a.b')(lambda payload: None)\n"
        "def take(conf, **_):\n    conf.accept_content = ['json', 'msgpack']\n\n"
        "signals.celeryd_init.connect(take, weak=False)\n"
    ),
    "plain_app.py": "from workers import handler\n\nhandler('plain.event')(lambda payload: None)\n",
}


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with apps, good ones and bad ones."""
    folder = tmp_path_factory.mktemp("starts")
    for name, text in APPS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def run(folder: pathlib.Path) -> Run:
    """Runs a command to its end, with settings that are good but for those given."""

    def run(command: str, *options: str, database: str = NOBODY, broker: str = NOWHERE, **given: str) -> Ended:
        environment = Road(database, broker, folder).environment(**{"http": f"127.0.0.1:{ports.free()}", **given})
        done = subprocess.run(
            [sys.executable, "-m", *COMMANDS[command], *options],
            # Celery warns whoever is root.
            env=environment | {"PYTHONWARNINGS": "ignore"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module", autouse=True)
def migration(run: Run) -> Iterator[concurrent.futures.Future[Ended]]:
    """A migration of a ledger that is not there. It waits ten seconds for it, while other tests go on."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield pool.submit(run, "migrate")


def line(ended: Ended) -> str:
    """The line on stderr of a command that could not start; Celery may have said before that it does."""
    assert ended.code in (1, bootstrap.MISCONFIGURED), ended
    *before, found = ended.err.splitlines()
    assert [said for said in before if " info " not in said] == []
    assert found.startswith("millrace: ")
    assert SECRET not in ended.err + ended.out
    return found


def at_once(run: Run, *commands: str, **given: str) -> dict[str, Ended]:
    """What becomes of some commands that are started together."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ends = {command: pool.submit(run, command, **given) for command in commands}
        return {command: end.result() for command, end in ends.items()}


# --- settings and apps ----------------------------------------------------------------------------------------------

#: Name → (settings, words of the line).
BAD: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "no number": ({"web_threads": "many"}, ("MILLRACE_WEB_THREADS", "integer")),
    "no database": ({"database_url": ""}, ("MILLRACE_DATABASE_URL is not set", "`millrace up`")),
    "a file that is not there": (
        {"database_url": "", "database_url_file": "no/such/file"},
        ("MILLRACE_DATABASE_URL_FILE: no/such/file cannot be read",),
    ),
    "an unknown crash point": ({"crash_at": "somewhere@file"}, ("MILLRACE_CRASH_AT", "after_claim")),
    "an unknown app": ({"apps": "no.such_app"}, ("MILLRACE_APPS", "'no.such_app'", "install it")),
    "an app that lacks something": (
        {"apps": "plain_app,broken_app"},
        ("MILLRACE_APPS", "ModuleNotFoundError", "'nowhere_to_be_found'", "broken_app/handlers.py, line 2"),
    ),
    "an app that is no Python": (
        {"apps": "torn_app"},
        ("MILLRACE_APPS", "SyntaxError", "line 1", "torn_app/__init__.py"),
    ),
    "no handlers": ({"apps": "silent_app"}, ("MILLRACE_APPS", "no handlers")),
}


@pytest.mark.parametrize(("given", "words"), BAD.values(), ids=list(BAD))
def test_a_worker_that_cannot_start_says_why_in_a_line(run: Run, given: dict[str, str], words: tuple[str, ...]) -> None:
    """Celery would log an error in this place and go on without a configuration."""
    found = line(run("worker", **given))
    assert all(word in found for word in words), found


def test_every_command_says_the_same(run: Run) -> None:
    given, words = BAD["an app that lacks something"]
    ends = at_once(run, "web", "clock", "migrate", "up", **given)
    (found,) = {line(end) for end in ends.values()}
    assert all(word in found for word in words)


def test_each_of_several_faults_has_a_line_of_its_own(run: Run) -> None:
    ended = run("rebuild", web_threads="many", window="0")
    lines = ended.err.splitlines()
    assert [re.search("MILLRACE_[A-Z_]+", line)[0] for line in lines] == ["MILLRACE_WEB_THREADS", "MILLRACE_WINDOW"]  # type: ignore[index]
    assert all(line.startswith("millrace: ") for line in lines)


def test_views_that_cannot_be_imported_stop_the_door_before_it_opens(run: Run) -> None:
    found = line(run("web", apps="views_app"))
    assert "MILLRACE_APPS" in found
    assert "RuntimeError: no templates" in found
    assert "views_app/views.py, line 1" in found


def test_the_way_to_a_broken_app_is_shown_to_those_who_ask(run: Run) -> None:
    assert "Traceback" in run("rebuild", apps="broken_app", log_level="debug").err


def test_a_queue_that_no_handler_asks_for_stops_a_worker(run: Run) -> None:
    found = line(run("worker", "-Q", "evnts"))
    assert "'evnts'" in found
    assert "events, http, periodic" in found


def test_what_is_off_by_accident_is_refused_by_every_process(run: Run) -> None:
    """tests/unit/test_safety.py has all of it."""
    given = {"broker": f"amqp://guest:{SECRET}@mq.test/", "database": f"postgresql://u:{SECRET}@db.test/d"}
    for ended in at_once(run, "web", "worker", "clock", **given).values():
        assert ended.code == bootstrap.MISCONFIGURED
        said = [text for text in ended.err.splitlines() if " info " not in text]
        assert [text.split(":")[1].strip() for text in said] == ["MILLRACE_BROKER_URL", "MILLRACE_DATABASE_URL"], said
        assert "amqps://" in said[0]
        assert "verify-full" in said[1]
        assert SECRET not in ended.err


def test_a_worker_that_would_take_more_than_json_does_not_start(run: Run) -> None:
    ended = run("worker", apps="lenient_app")
    assert ended.code == bootstrap.MISCONFIGURED
    assert "accept_content has msgpack" in line(ended)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start as root")
def test_root_is_refused_where_others_reach_it(run: Run) -> None:
    given = {"allow_root": "0", "http": f"0.0.0.0:{ports.free()}"}
    found = line(run("web", **given))
    assert "MILLRACE_ALLOW_ROOT" in found


def test_the_doctor_shows_what_is_off_and_goes_on(run: Run) -> None:
    ended = run("doctor", broker="amqp://127.0.0.1:1/", http="127.0.0.1:5000", metrics_port="5000")
    assert (ended.code, ended.err) == (1, "")
    found = dict(re.findall(r"^FAULT ([\w ]+): (.*)", ended.out, re.MULTILINE))
    assert list(found) == ["metrics port", "ledger", "broker"]
    assert "MILLRACE_METRICS_PORT" in found["metrics port"]
    assert set(re.findall(r"^ok +([\w ]+):", ended.out, re.MULTILINE)) >= {"broker user", "ledger encryption", "debug"}


@pytest.mark.parametrize("command", ["web", "up"])
def test_a_port_in_use_is_named_with_the_way_out(run: Run, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = line(run(command, http=address))
    assert address in found
    assert "MILLRACE_HTTP=" in found


# --- servers --------------------------------------------------------------------------------------------------------


def test_commands_that_need_a_server_name_it_and_its_setting(
    run: Run, migration: concurrent.futures.Future[Ended]
) -> None:
    ends = at_once(run, "topology", "rebuild", "doctor") | {"migrate": migration.result()}
    for command in ("migrate", "rebuild"):
        assert "127.0.0.1:1" in line(ends[command])
        assert "MILLRACE_DATABASE_URL" in line(ends[command])
    assert "127.0.0.1:1" in line(ends["topology"])
    assert "MILLRACE_BROKER_URL" in line(ends["topology"])
    # The doctor has a line for each finding, and they are its answer.
    assert (ends["doctor"].code, ends["doctor"].err) == (1, "")
    told = ends["doctor"].out
    assert re.search("^FAULT ledger: .*127.0.0.1:1.*MILLRACE_DATABASE_URL", told, re.MULTILINE)
    assert re.search("^FAULT broker: .*127.0.0.1:1.*MILLRACE_BROKER_URL", told, re.MULTILINE)


def test_a_wrong_password_is_told_and_not_shown(
    run: Run, ledger_server: PostgresServer, broker_node: RabbitNode
) -> None:
    database = re.sub(":[^:@]+@", f":{SECRET}@", ledger_server.dsn_of("postgres"))
    broker = re.sub(":[^:@]+@", f":{SECRET}@", broker_node.url)
    ends = at_once(run, "rebuild", "topology", database=database, broker=broker)
    assert "password authentication failed" in line(ends["rebuild"])
    assert "MILLRACE_DATABASE_URL" in line(ends["rebuild"])
    assert "ACCESS_REFUSED" in line(ends["topology"])
    assert "MILLRACE_BROKER_URL" in line(ends["topology"])


class TestSchema:
    """A server that is there, with a database that is not ready."""

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls, ledger_server: PostgresServer) -> str:
        """The address of a database with nothing in it."""
        ledger_server.execute("create database bare")
        return ledger_server.dsn_of("bare")

    def test_nothing_starts_before_the_migration(self, run: Run, database: str) -> None:
        ends = at_once(run, "web", "worker", "clock", "rebuild", "doctor", database=database)
        doctor = ends.pop("doctor")
        for end in ends.values():
            assert "run `millrace migrate`" in line(end)
        assert doctor.code == 1
        assert re.search("FAULT ledger: .*run `millrace migrate`", doctor.out)

    def test_a_user_who_may_not_migrate_is_told(self, run: Run, database: str, ledger_server: PostgresServer) -> None:
        ledger_server.execute(f"create role poor login password '{SECRET}'")
        poor = re.sub("//[^@]+@", f"//poor:{SECRET}@", database)
        found = line(run("migrate", database=poor))
        assert "permission denied" in found
        assert "MILLRACE_DATABASE_URL" in found

    def test_an_app_that_is_a_plain_module_has_nothing_to_migrate(self, run: Run, database: str) -> None:
        assert run("migrate", database=database, apps="plain_app") == (0, f"the ledger is at {schema.HEAD}\n", "")

    @pytest.mark.fault(44)
    def test_a_newer_schema_is_left_alone(self, run: Run, database: str, ledger_server: PostgresServer) -> None:
        """Old code is rolled out again after a migration."""
        migrate.migrate(database)
        ledger_server.execute("update millrace.migrations set version_num = '9999'", "bare")
        ended = run("migrate", database=database)
        assert (ended.code, ended.err) == (0, "")
        assert "9999" in ended.out
