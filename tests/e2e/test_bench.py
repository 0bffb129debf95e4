"""The benchmark, end to end: Millrace on private servers, for a second."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from bench import contestants, profiles, results, run, shapes, terminal
from tests import servers


@pytest.mark.heavy
def test_measures_millrace_under_every_shape_and_finds_every_row() -> None:
    servers.need_postgres()
    servers.need_rabbitmq()
    profile = profiles.Profile(
        "test",
        "A test",
        [contestants.MILLRACE.name],
        [profiles.Leg([shapes.single(0.3), shapes.paced(0.5), shapes.batch(0.2)])],
        rounds=1,
        minutes=1,
    )
    with terminal.display(Console(quiet=True)) as display:
        found = run.run(profile, "a test", display)
    assert found.sound, found.document()
    single, paced, batch = (section.results[0].figures for section in found.sections)
    # Of batches some may be refused where the machine is busy: the door sheds what it cannot store soon.
    assert (single.refused, paced.refused) == (0, 0)
    # Of a flow of 200 per second for half a second, 100 orders come; the last one is due before the end.
    assert 100 <= paced.accepted_per_s <= 220
    assert 0 < paced.worked_p50_ms <= paced.worked_p99_ms
    assert min(single.cpu_total, batch.cpu_total, single.memory_mb) > 0
    assert results.from_document(json.loads(json.dumps(found.document()))) is not None
