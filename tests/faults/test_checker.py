"""The checker finds what it is there to find: the ledger is bent by hand, and each time it says how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from tests.door import DEADLINE, SLACK, Answer
from tests.faults import checker
from tests.faults.checker import Verdict, judge
from tests.faults.workload import Workload, key_of
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
        keyed = [n for n in load.accepted() if key_of(n)]
        told = {n: load.answers[n] for n in keyed[:2]}
        load.answers.update(dict.fromkeys(told, Answer(0, {}, None, 0.1)))
        try:
            assert load.ask_again() == {n: answer.id for n, answer in told.items()}
        finally:
            load.answers.update(told)
