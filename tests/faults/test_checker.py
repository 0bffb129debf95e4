"""The checker finds what it is there to find: the ledger is bent by hand, and each time it says how."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import pytest

from tests.apps.detached_app import QUEUE
from tests.door import DEADLINE, SLACK, Answer
from tests.faults import checker
from tests.faults.checker import Verdict, judge, judge_batches, judge_cancels, judge_replays, judge_runs, judge_slots
from tests.faults.mixture import Mixture, mixed
from tests.faults.stack import APPS
from tests.faults.workload import Workload
from tests.patience import wait
from tests.road import Road


class TestChecker:
    """A road without faults, and the record of what its clients were told."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        road = make_standing()
        road.worker(concurrency=1)
        return road

    @pytest.fixture(scope="class")
    @classmethod
    def load(cls, road: Road) -> Iterator[Workload]:
        with Workload(road.web()) as load:
            load.wait_for_accepted(20)
        checker.check(road, load, lambda name, value: None)
        return load

    @pytest.fixture
    def number(self, road: Road, load: Workload) -> Iterator[int]:
        """One of the posts; what was done to its effect is undone afterwards."""
        number = min(load.accepted())
        yield number
        road.sql("delete from effects where number = %s", number)
        road.sql("insert into effects values (%s, 1, 0, %s)", load.accepted()[number], number)
        assert judge(road, load) == Verdict()

    def test_an_effect_that_is_missing_is_a_loss(self, road: Road, load: Workload, number: int) -> None:
        road.sql("delete from effects where number = %s", number)
        assert judge(road, load) == Verdict(lost=frozenset([number]))

    def test_an_effect_that_is_there_twice_is_doubled(self, road: Road, load: Workload, number: int) -> None:
        road.sql("insert into effects select * from effects where number = %s", number)
        assert judge(road, load) == Verdict(doubled=frozenset([number]))

    def test_a_post_that_was_refused_and_is_worked_breaks_the_promise(
        self, road: Road, load: Workload, number: int
    ) -> None:
        refusal = Answer(503, {"retry-after": "1"}, {"stored": "no"}, 0.1)
        told = dataclasses.replace(load.answers[number])
        load.answers[number] = refusal
        assert judge(road, load).broken_refusals == {number}
        load.answers[number] = told

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(503, {"retry-after": "1"}, {"stored": "no"}, DEADLINE + SLACK + 0.1),
            Answer(0, {}, None, DEADLINE + SLACK + 0.1),
            Answer(500, {}, {}, 0.1),
        ],
        ids=["late", "hung", "strange"],
    )
    def test_an_answer_that_was_not_promised_fails(self, road: Road, load: Workload, answer: Answer) -> None:
        load.answers[0] = answer
        with pytest.raises(AssertionError):
            checker.check(road, load, lambda name, value: None)
        del load.answers[0]

    def test_a_dead_letter_that_nothing_was_wrong_with_is_told(self, road: Road, load: Workload, number: int) -> None:
        """Without a reason it is lost, and with its effect it is doubled by whoever replays it."""
        event, this = load.accepted()[number], frozenset([number])
        road.sql("update millrace.events set state = 'dead' where id = %s", event)
        assert judge(road, load) == Verdict(lost=this, buried=this, doubled=this)
        road.sql("insert into millrace.dead (event_id, type, reason) values (%s, 'ledger.step', 'failed')", event)
        assert judge(road, load) == Verdict(buried=this, doubled=this)
        road.sql("delete from effects where number = %s", number)
        assert judge(road, load) == Verdict(buried=this)
        road.sql("update millrace.events set state = 'succeeded' where id = %s", event)

    def test_what_may_be_stored_is_posted_again_with_its_key(self, road: Road, load: Workload) -> None:
        keyed = [n for n in load.accepted() if load.key_of(n)]
        told = {n: load.answers[n] for n in keyed[:2]}
        load.answers.update(dict.fromkeys(told, Answer(0, {}, None, 0.1)))
        try:
            assert load.ask_again() == {n: answer.id for n, answer in told.items()}
        finally:
            load.answers.update(told)


class TestMixture:
    """The same with clients of every kind; each test undoes what it has bent."""

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        road = make_standing(apps=APPS)
        road.clock()
        road.worker(queues=f"events,periodic,{QUEUE}", concurrency=4)
        return road

    @pytest.fixture(scope="class")
    @classmethod
    def mixture(cls, road: Road) -> Mixture:
        with mixed(road.web(), road.web()) as mixture:
            wait(lambda: 200 in told(mixture) and 409 in told(mixture), 40, "some cancels came in time, some late")
            wait(lambda: any(mixture.replays.made().values()), 40, "a dead letter is replayed")
            mixture.runs.wait_for_accepted(5)
        checker.check_all(road, mixture, lambda name, value: None)
        return mixture

    @pytest.fixture(autouse=True)
    @classmethod
    def whole(cls, road: Road, mixture: Mixture) -> Iterator[None]:
        yield
        checker.check_all(road, mixture, lambda name, value: None)

    def test_of_a_batch_each_event_counts(self, road: Road, mixture: Mixture) -> None:
        number = max(mixture.batches.accepted())
        [others] = [frozenset(numbers) - {number} for numbers in mixture.batches.together if number in numbers]
        with without(road, "effects", "number = %s", number):
            assert judge_batches(road, mixture.batches) == Verdict(lost=frozenset([number]), torn=others)

    def test_a_run_that_never_began_or_whose_effect_came_twice_is_told(self, road: Road, mixture: Mixture) -> None:
        number, event = min(mixture.runs.accepted().items())
        with without(road, "runs", "event_id = %s", event):
            assert judge_runs(road, mixture.runs) == Verdict(lost=frozenset([number]))
        with twice(road, number):
            assert judge_runs(road, mixture.runs) == Verdict(doubled=frozenset([number]))

    def test_what_was_cancelled_and_is_worked_is_told(self, road: Road, mixture: Mixture) -> None:
        number = cancelled(mixture, 200)
        with twice(road, number, event=mixture.cancels.accepted()[number]):
            assert judge_cancels(road, mixture.cancels) == Verdict(unheeded=frozenset([number]))

    def test_what_was_said_to_be_cancelled_and_is_not_is_told(self, road: Road, mixture: Mixture) -> None:
        number = cancelled(mixture, 200)
        with in_state(road, "succeeded", mixture.cancels.accepted()[number]):
            assert judge_cancels(road, mixture.cancels) == Verdict(unheeded=frozenset([number]))

    def test_what_was_not_cancelled_must_be_worked(self, road: Road, mixture: Mixture) -> None:
        number = cancelled(mixture, 409)
        with without(road, "effects", "number = %s", number):
            assert judge_cancels(road, mixture.cancels) == Verdict(lost=frozenset([number]))
            with in_state(road, "cancelled", mixture.cancels.accepted()[number]):
                assert judge_cancels(road, mixture.cancels) == Verdict(lost=frozenset([number]))

    def test_a_cancel_without_an_answer_may_have_come_or_not_but_not_both(self, road: Road, mixture: Mixture) -> None:
        for status in (200, 409):
            number = cancelled(mixture, status)
            answer, mixture.cancels.acts[number] = mixture.cancels.acts[number], Answer(0, {}, None, 0.1)
            assert judge_cancels(road, mixture.cancels) == Verdict()
            mixture.cancels.acts[number] = answer
        number = cancelled(mixture, 409)
        answer, mixture.cancels.acts[number] = mixture.cancels.acts[number], Answer(0, {}, None, 0.1)
        with in_state(road, "cancelled", mixture.cancels.accepted()[number]):
            assert judge_cancels(road, mixture.cancels) == Verdict(unheeded=frozenset([number]))
        mixture.cancels.acts[number] = answer

    def test_a_replay_that_made_nothing_or_two_is_told(self, road: Road, mixture: Mixture) -> None:
        number, [new] = next((n, made) for n, made in mixture.replays.made().items() if made)
        letter, other = (mixture.replays.accepted()[n] for n in (number, max(mixture.replays.accepted())))
        with changed(road, "replay_of", None, new), without(road, "effects", "number = %s", number):
            assert judge_replays(road, mixture.replays) == Verdict(lost=frozenset([number]))
        with changed(road, "replay_of", letter, other):
            assert judge_replays(road, mixture.replays).replayed_twice == {number}
        with twice(road, number):
            assert judge_replays(road, mixture.replays) == Verdict(doubled=frozenset([number]))
        with in_state(road, "succeeded", letter):
            assert judge_replays(road, mixture.replays) == Verdict(lost=frozenset([number]))

    def test_a_slot_without_its_event_or_with_two_is_told(self, road: Road) -> None:
        event, at = road.sql("select event_id::text, due_at from millrace.slots order by due_at limit 1")[0]
        later = road.one("select event_id::text from millrace.slots where due_at > %s order by due_at limit 1", at)
        for bent in (
            without(road, "millrace.slots", "due_at = %s", at),
            without(road, "effects", "event_id = %s", event),
            twice(road, None, event=event),
            changed(road, "slot_at", at, later),
            in_state(road, "dead", event),
        ):
            with bent:
                assert at in judge_slots(road, at)
        assert judge_slots(road, at) == []

    def test_an_instant_that_nobody_accounts_for_is_told(self, road: Road) -> None:
        second = road.one("select due_at from millrace.slots order by due_at offset 1 limit 1")
        with without(road, "millrace.slots", "due_at = %s", second), pytest.raises(AssertionError):
            checker.assert_accounted(road, checker.LONG_AGO)


def told(mixture: Mixture) -> set[int]:
    """The statuses of all cancels so far."""
    return {act.status for act in mixture.cancels.acts.copy().values()}


def cancelled(mixture: Mixture, status: int) -> int:
    """An event whose cancel was answered so."""
    return min(n for n, act in mixture.cancels.acts.items() if act.status == status)


@contextlib.contextmanager
def without(road: Road, table: str, which: str, value: object) -> Iterator[None]:
    """These rows are away."""
    road.sql(f"create table away as select * from {table} where {which}", value)
    road.sql(f"delete from {table} where {which}", value)
    yield
    road.sql(f"insert into {table} select * from away; drop table away")


@contextlib.contextmanager
def twice(road: Road, number: int | None, event: str | None = None) -> Iterator[None]:
    """There is one effect more."""
    event = event or road.one("select event_id::text from effects where number = %s", number)
    road.sql("insert into effects values (%s, 1, -1, %s)", event, number)
    yield
    road.sql("delete from effects where pid = -1")


@contextlib.contextmanager
def changed(road: Road, column: str, value: object, event: str) -> Iterator[None]:
    """A column of an event holds this."""
    [(before,)] = road.sql(f"select {column} from millrace.events where id = %s", event)
    road.sql(f"update millrace.events set {column} = %s where id = %s", value, event)
    yield
    road.sql(f"update millrace.events set {column} = %s where id = %s", before, event)


def in_state(road: Road, state: str, event: str) -> contextlib.AbstractContextManager[None]:
    """An event is in this state."""
    return changed(road, "state", state, event)
