"""``deploy/systemd`` under a real systemd, from an empty machine, as ``docs/deploy.md`` types it."""

from __future__ import annotations

import concurrent.futures
import re
import threading
import time
from collections.abc import Iterator

import pytest

from service import bootstrap, client
from tests import servers
from tests.deploy.installed import SERVICES, START, UPGRADE, Installed
from tests.deploy.machine import Machine
from tests.deploy.test_systemd import LINES
from tests.patience import wait

pytestmark = [pytest.mark.heavy, pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.timeout(900)]

#: What a service would say that is refused something.
REFUSED = re.compile(r"permission denied|operation not permitted|read-only file system|ACCESS_REFUSED", re.IGNORECASE)
NUMBERS = {"numbers": [1], "jobtodo": ["sum"]}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One that has just been started, with nothing on it."""
    servers.need_postgres()
    servers.need_rabbitmq()
    found = Machine(tmp_path_factory.mktemp("machine"))
    try:
        yield found.boot()
    finally:
        found.halt()


@pytest.fixture(scope="module")
def installed(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Millrace on it, not started yet."""
    found = Installed(machine, tmp_path_factory.mktemp("servers"))
    try:
        yield found.prepare()
    finally:
        print(machine.journal("millrace*"))  # noqa: T201  # Shown when a test has failed.
        found.stop()


@pytest.fixture(scope="module")
def door(installed: Installed) -> client.Client:
    """The door, after what the page types to start it all, for the first key."""
    said = installed.type_in(START)
    assert "FAULT" not in said, said
    (key,) = re.findall(r"^(mr_\S+)$", said, re.MULTILINE)
    return installed.door(key)


def worked(door: client.Client, type_name: str = "numbers.requested", **payload: object) -> client.Event:
    """An event of this kind, as it has ended."""
    return door.wait(door.submit(type_name, payload or {"rid": time.time_ns(), **NUMBERS}).id, 60)


def restarts(machine: Machine, unit: str) -> int:
    """How often systemd has started a service again by itself."""
    return int(machine.shown(unit, "NRestarts")["NRestarts"])


def test_a_file_of_settings_is_read_as_the_operators_program_reads_it(machine: Machine) -> None:
    machine.put("/srv/lines", "\n".join(LINES))
    unit = "[Service]\nType=oneshot\nEnvironmentFile=/srv/lines\nExecStart=env\n"
    machine.put("/etc/systemd/system/lines.service", unit)
    machine.run("systemctl daemon-reload && systemctl start lines && journalctl --sync")
    said = machine.run("journalctl --unit=lines --output=cat").splitlines()
    for line, value in LINES.items():
        name = line.strip("#; ").partition("=")[0]
        assert [f"{name}={value}"] * (value is not None) == [text for text in said if text.startswith(name)], line


def test_what_the_page_types_ends_in_services_that_work_an_event(machine: Machine, door: client.Client) -> None:
    for unit in SERVICES:
        wait(lambda u=unit: machine.shown(u, "ActiveState")["ActiveState"] == "active", 20, f"{unit} is active")
    assert worked(door).state == "succeeded"
    wait(lambda: list(door.rows("/v1/processes", "processes", {})), 30, "processes are there")
    assert {unit: restarts(machine, unit) for unit in SERVICES} == dict.fromkeys(SERVICES, 0)
    assert machine.shown("millrace-migrate", "Result") == {"Result": "success"}
    assert not REFUSED.findall(machine.journal("millrace*"))


class TestSandbox:
    """What each service meets; asked in its own namespaces, as its own user and as root."""

    @pytest.fixture(autouse=True)
    @classmethod
    def started(cls, door: client.Client) -> None:
        """All of them run."""

    def test_each_kind_is_another_user_with_no_rights(self, machine: Machine) -> None:
        users: dict[str, set[int]] = {}
        for unit in SERVICES:
            text = machine.run(f"cat /proc/{machine.main_pid(unit)}/status")
            said = dict(line.split(":", 1) for line in text.splitlines())
            assert said["NoNewPrivs"].strip() == "1"
            assert said["Seccomp"].strip() == "2"
            assert {int(said[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
            users.setdefault(unit.partition("@")[0], set()).update(map(int, said["Uid"].split()))
        assert [len(one) for one in users.values()] == [1, 1, 1], users
        assert len(set.union(*users.values())) == 3
        assert min(set.union(*users.values())) >= 61184  # Of those that systemd keeps for services: in no /etc/passwd.

    @pytest.mark.parametrize("unit", SERVICES)
    def test_each_writes_nowhere_and_sees_no_home_no_device_no_other(self, machine: Machine, unit: str) -> None:
        pid = machine.main_pid(unit)
        user = machine.run(f"stat -c %u /proc/{pid}").strip()
        inside = f"nsenter --target={pid} --mount --pid --root --wd=/ --"
        for folder in ("/etc", "/usr", "/opt/millrace/lib", "/var", "/root", "/"):
            said = machine.run(f"{inside} touch {folder}/here", check=False)  # By root, even.
            assert re.search("Read-only file system|Permission denied|No such file", said), (folder, said)
        assert machine.run(f"{inside} ls -A /root /home 2>&1 || true").split() in ([], ["/home:", "/root:"])
        assert "sda" not in machine.run(f"{inside} ls /dev")
        ours = f"{inside} setpriv --reuid={user} --regid={user} --clear-groups"
        assert machine.run(f"{ours} ls /etc/millrace", check=False).count("Permission denied") == 1
        seen = {int(word) for word in machine.run(f"{ours} ls /proc").split() if word.isdigit()}
        assert 1 not in seen, "others' processes"
        own = machine.run(f"{ours} sh -c 'touch /tmp/here && ls /tmp'").split()
        assert "here" in own
        assert not [name for name in own if name.startswith("systemd-private")], "others' folders"
        assert machine.run("ls /tmp").count("here") == 0

    def test_what_the_filter_refuses_is_not_even_tried(self, machine: Machine, door: client.Client) -> None:
        """A forbidden call is answered with an error as units are written, which may go unseen; here it kills."""
        strict = "/etc/systemd/system/millrace-.service.d/90-strict.conf"
        machine.put(strict, "[Service]\nSystemCallErrorNumber=\nSystemCallErrorNumber=kill\n")
        try:
            machine.run("systemctl daemon-reload && systemctl restart " + " ".join(SERVICES))
            machine.run("systemctl restart millrace-migrate")
            before = {unit: restarts(machine, unit) for unit in SERVICES}
            assert worked(door).state == "succeeded"
            assert worked(door, "burden.slow", name="strict", seconds=1).state == "succeeded"
            machine.run("systemctl restart " + " ".join(SERVICES))  # What is done at the end, too.
            assert worked(door).state == "succeeded"
            assert {unit: restarts(machine, unit) for unit in SERVICES} == before
            assert "SYS" not in machine.journal("millrace*")
        finally:
            machine.run(f"rm {strict} && systemctl daemon-reload && systemctl restart " + " ".join(SERVICES))


class TestLife:
    """Starting again, stopping, what is too large, what is wrong."""

    def test_nobody_is_refused_while_the_door_starts_again(
        self, installed: Installed, machine: Machine, door: client.Client
    ) -> None:
        over = threading.Event()
        answers: list[int] = []

        def come() -> None:
            while not over.wait(0.02):
                answers.append(installed.ask("/healthz"))

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            coming = [pool.submit(come) for _ in range(2)]
            try:
                wait(lambda: answers.count(200) > 20, 20, "they are answered")
                before = machine.main_pid("millrace-web")
                machine.run("systemctl restart millrace-web")
                wait(lambda: len(answers) > 60, 40, "and go on")
            finally:
                over.set()
        for one in coming:
            one.result()
        assert machine.main_pid("millrace-web") != before
        assert installed.REFUSED not in answers
        assert answers.count(200) > 50

    def test_a_worker_ends_what_it_has(self, machine: Machine, door: client.Client) -> None:
        event = door.submit("burden.slow", {"name": "to the end", "seconds": 4})
        wait(lambda: "slow begins: to the end" in machine.journal("millrace-worker@events"), 20, "it is worked")
        machine.run("systemctl stop millrace-worker@events")
        assert machine.shown("millrace-worker@events", "Result", "ExecMainStatus") == {
            "Result": "success", "ExecMainStatus": "0"
        }  # fmt: skip
        found = door.get(event.id)
        machine.run("systemctl start millrace-worker@events")
        assert (found.state, found.attempt) == ("succeeded", 1)

    def test_who_is_killed_is_started_again(self, machine: Machine, door: client.Client) -> None:
        for unit in SERVICES:
            machine.run(f"kill -9 {machine.main_pid(unit)}")
        # Where control groups tell nobody that they are empty (version 1), it may look again at TimeoutStopSec only.
        for unit in SERVICES:
            wait(lambda u=unit: restarts(machine, u) >= 1 and machine.main_pid(u), 130, f"{unit} is started again")
        assert worked(door).state == "succeeded"

    def test_settings_that_are_wrong_are_not_tried_again(self, machine: Machine, door: client.Client) -> None:
        wrong = "/etc/systemd/system/millrace-clock.service.d/wrong.conf"
        machine.put(wrong, "[Service]\nEnvironment=MILLRACE_METRICS_PORT=no\n")
        try:
            machine.run("systemctl daemon-reload; systemctl restart millrace-clock", check=False)
            wait(lambda: machine.shown("millrace-clock", "ActiveState")["ActiveState"] == "failed", 20, "it gives up")
            found = machine.shown("millrace-clock", "ExecMainStatus", "SubState")
            assert found == {"ExecMainStatus": str(bootstrap.MISCONFIGURED), "SubState": "failed"}
            assert "MILLRACE_METRICS_PORT" in machine.journal("millrace-clock")
        finally:
            machine.run(f"rm {wrong}; systemctl daemon-reload; systemctl restart millrace-clock")

    def test_a_child_that_takes_too_much_dies_alone(self, machine: Machine, door: client.Client) -> None:
        little = "/etc/systemd/system/millrace-worker@events.service.d/little.conf"
        machine.put(little, "[Service]\nMemoryMax=600M\nEnvironment=CHILDREN=1\n")
        try:
            machine.run("systemctl daemon-reload; systemctl restart millrace-worker@events")
            pid = machine.main_pid("millrace-worker@events")
            event = worked(door, "burden.large", bytes=2**30)
            assert (event.state, event.reason) == ("dead", "worker_lost")
            assert worked(door).state == "succeeded"
            assert machine.main_pid("millrace-worker@events") == pid
        finally:
            machine.run(f"rm {little}; systemctl daemon-reload; systemctl restart millrace-worker@events")

    def test_the_target_stops_and_starts_all_of_it(
        self, installed: Installed, machine: Machine, door: client.Client
    ) -> None:
        machine.run("systemctl stop millrace.target")
        ended = {"Result": "success", "ActiveState": "inactive"}
        for unit in SERVICES:
            wait(lambda u=unit: machine.shown(u, *ended) == ended, 20, f"{unit} has ended well")
        assert installed.ask("/healthz") == installed.REFUSED
        machine.run("systemctl start millrace.target")
        assert worked(door).state == "succeeded"


#: A version beside the other one: the same code, for here it is the way that counts.
NEW = """
cp -a /opt/millrace-0.1.0 /opt/millrace-0.2.0
grep -lI millrace-0.1.0 /opt/millrace-0.2.0/bin/* | xargs sed -i s/millrace-0.1.0/millrace-0.2.0/
"""


def test_new_code_takes_the_place_of_the_old_as_the_page_types_it(
    installed: Installed, machine: Machine, door: client.Client
) -> None:
    machine.run(NEW)
    event = door.submit("burden.slow", {"name": "over it", "seconds": 3})
    assert "FAULT" not in installed.type_in(UPGRADE)
    for unit in SERVICES:
        words = machine.run(f"tr '\\0' ' ' < /proc/{machine.main_pid(unit)}/cmdline")
        assert words.startswith("/opt/millrace-0.2.0/bin/"), words
    assert door.wait(event.id, 30).state == "succeeded"
    assert worked(door).state == "succeeded"
