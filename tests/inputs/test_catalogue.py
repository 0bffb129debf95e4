"""Every group of bad input is tried by a row, or it is said why not."""

from __future__ import annotations

from tests.inputs import catalogue, test_asking, test_bodies, test_credentials, test_framing, test_messages

TRIED = (
    {row.group for row in test_framing.ROWS}
    | {row.group for row in test_asking.ROWS}
    | {row.group for row in test_bodies.ROWS}
    | {row.group for row in test_credentials.ROWS}
    | {stray.group for stray in test_messages.STRAYS.values()}
)


def test_every_group_is_tried_or_does_not_apply() -> None:
    assert sorted(catalogue.GROUPS) == list(range(1, 76))
    assert TRIED | catalogue.NOT_APPLICABLE.keys() == catalogue.GROUPS.keys()
    assert not TRIED & catalogue.NOT_APPLICABLE.keys()
    assert all(catalogue.NOT_APPLICABLE.values())
