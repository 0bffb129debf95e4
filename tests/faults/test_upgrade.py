"""An upgrade under load, from two checkouts: nothing is lost, nothing doubled, whoever works what whom has accepted.

The old code is a commit of this repository from before some migrations. Its servers, its queues and its schema are
those that the new code finds.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.ledger import schema
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests.apps import ledger_app
from tests.faults import checker, checkouts
from tests.faults.workload import Workload
from tests.patience import wait
from tests.processes import Process
from tests.road import Road

#: The last commit but one that worked on schema 0006; it knows nothing of phases, nor of what code may run.
OLD = "532ffea96fcd3b37ba7e698e255b37117eb5ce94"
OLD_SCHEMA = "0006"
APPS = "tests.apps.ledger_app,tests.apps.ticking_app"
NEW_APPS = f"{APPS},tests.apps.later_app"

REVISION = "select version_num from millrace.migrations"
WORKED_BY = "select number, pid from effects where number = any(%s)"
GAPS = """
select count(*) from (select due_at - lag(due_at) over (order by due_at) as gap, missed from millrace.slots) s
where gap > interval '1 second' * (missed + 1)
"""
TICKS = "select state, count(*) from millrace.events where type = 'ticking.second' group by 1"


@pytest.fixture
def roads(
    ledger_server: PostgresServer, broker_node: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Road, Road]]:
    """Two roads on one ledger and one broker, the old code's and the new code's; the schema is the old one."""
    code = checkouts.checkout(OLD, tmp_path_factory.mktemp("old-code"))
    folder = tmp_path_factory.mktemp("upgrade")
    ledger_server.execute("create database upgraded")
    servers = (ledger_server.dsn_of("upgraded"), broker_node.url_of("upgrade"))
    broker_node.add_vhost("upgrade")
    # Time limits that no event meets: four processes more than usual share this machine.
    limits = {"soft_limit": "20", "hard_limit": "30", "patience": "10"}
    old = Road(*servers, folder, code=code, apps=APPS, **limits)
    new = Road(*servers, folder, apps=NEW_APPS, **limits)
    try:
        for words in (("migrate",), ("topology", "apply")):
            finish(old, *words)
        old.sql(ledger_app.SCHEMA)
        yield old, new
    finally:
        new.stop()
        old.stop()


def finish(road: Road, *words: str) -> str:
    """Run a command of `millrace` to its end; what it said."""
    process = road.run("-".join(words), "service", *words)
    assert process.wait_for_end(60) == 0, process.text()
    return process.text()


def pairs(road: Road, load: Workload, workers: dict[str, set[int]]) -> set[tuple[str, str]]:
    """(whose door, whose worker) of the effects so far; the doors of the load were the old one and the new one."""
    return {
        (("old", "new")[number % 2], whose)
        for number, pid in road.sql(WORKED_BY, list(load.accepted()))
        for whose, pids in workers.items()
        if pid in pids
    }


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.fault(42)
@pytest.mark.fault(43)
@pytest.mark.fault(44)
def test_an_upgrade_under_load_loses_and_doubles_nothing(
    roads: tuple[Road, Road], record_property: checker.Record
) -> None:
    old, new = roads
    assert new.one(REVISION) == OLD_SCHEMA
    old_door, old_worker, old_clock = old.web(), old.worker(), old.clock()

    new.pause("ledger.alone")  # These wait for as long as it lasts: old tickets for new workers.
    waiting = [old_door.post("ledger.alone", do="apart").id for _ in range(5)]

    with Workload(old_door, rate=20) as before:
        before.wait_for_accepted(40)
        said = finish(new, "migrate")
        assert f"the ledger is at {schema.NEEDED}" in said
        before.wait_for_accepted(40)  # The old code goes on,
        old_worker = restarted(old, old_worker)  # and starts on the new schema, too: a rollback would.
        record_property("recovery", round(checker.seconds_until_worked(new, old_door), 1))

    new_door, new_clock = new.web(), new.clock()
    with Workload(old_door, new_door, rate=20) as beside:
        # A type that only the new code knows: the old worker refuses it, and its neighbours go past.
        unknown = [new_door.post("later.step").id for _ in range(3)]
        wait(lambda: any(ticket["returns"] for ticket in new.tickets(unknown)), 30, "the old worker refuses a ticket")
        beside.wait_for_accepted(20)
        assert new.states(unknown) == {"pending": len(unknown)}

        new_worker = new.worker()
        workers = {"old": set(old_worker.children()), "new": set(new_worker.children())}
        every = {(door, worker) for door in workers for worker in workers}
        wait(lambda: pairs(new, beside, workers) == every, 60, "each worker works what each door has accepted", step=1)

        for process in (old_worker, old_clock, old_door.process):  # As docs/upgrades.md says.
            process.stop()
            beside.wait_for_accepted(10)
    new.go_on()
    new.assert_worked_once([*waiting, *unknown], 120)

    for load in (before, beside):
        checker.check(new, load, record_property, drain=60)

    # All the way back, now that the new code has written to every table.
    for process in (new_worker, new_clock, new_door.process):
        process.stop()
    old_door, old_worker, old_clock = old.web(), old.worker(), old.clock()
    with Workload(old_door, rate=20) as after:
        after.wait_for_accepted(40)
    checker.check(new, after, record_property, drain=60)
    assert {whose for _, whose in pairs(new, after, {"old": set(old_worker.children())})} == {"old"}
    old_clock.stop()
    wait(lambda: set(dict(new.sql(TICKS))) == {"succeeded"}, 30, "every tick is worked")
    assert new.one(GAPS) == 0, "there is an instant that no clock fired"


def restarted(road: Road, worker: Process) -> Process:
    """Another worker of the same code, and the first one told to end."""
    found = road.worker()
    worker.stop()
    return found
