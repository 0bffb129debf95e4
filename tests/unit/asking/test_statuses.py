"""What a status means: done, tried again and when, or a dead letter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.receiver import Receiver, answer
from tests.unit.asking.ask import ask
from workers import Discard, Retry


@pytest.mark.parametrize(
    ("status", "payload", "outcome"),
    [
        ("204 No Content", {}, dict),
        ("500 Oops", {}, Retry),
        ("503 Busy", {}, Retry),
        ("408 Slow", {}, Retry),
        ("425 Early", {}, Retry),
        ("429 Many", {}, Retry),
        ("400 Bad", {}, Discard),
        ("404 None", {}, Discard),
        ("410 Gone", {}, Discard),
        ("404 None", {"retry": ["4xx"]}, Retry),
        ("503 Busy", {"retry": []}, Discard),
        ("409 There", {"success": ["2xx", 409]}, dict),
        ("200 OK", {"success": [204], "retry": [200]}, Retry),
    ],
)
def test_what_a_status_means(receiver: Receiver, status: str, payload: dict[str, Any], outcome: type[Any]) -> None:
    receiver.answers = [answer(status, b"" if status[:3] == "204" else b"because")]
    if outcome is dict:
        assert ask(url=receiver.url, **payload)["status"] == int(status[:3])
        return
    with pytest.raises(outcome) as caught:
        ask(url=receiver.url, **payload)
    assert str(caught.value) == f"{status}: because"


@pytest.mark.fault(57)
def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [answer("302 Found", Location="http://169.254.169.254/latest/meta-data/")]
    with pytest.raises(Discard, match=r"redirects are not followed; name http://169\.254\.169\.254/latest/meta-data/"):
        ask(url=receiver.url)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30", 30.0), ("99999999999999", 86_400.0), ("soon", None), ("-5", None), ("", None), (None, None)],
)
def test_a_receiver_says_when_it_wants_to_be_asked_again(
    receiver: Receiver, written: str | None, seconds: float | None
) -> None:
    receiver.answers = [answer("503 Busy", **({} if written is None else {"Retry_After": written}))]
    with pytest.raises(Retry) as caught:
        ask(url=receiver.url)
    assert caught.value.after == seconds


@pytest.mark.parametrize(
    ("date", "until", "seconds"),
    [
        # Their clock is an hour behind, or a day ahead, of ours: what counts is how long they mean.
        ("Sun, 22 Nov 2020 01:00:00 GMT", "Sun, 22 Nov 2020 01:01:40 GMT", 100.0),
        ("Sun, 22 Nov 2095 01:00:00 GMT", "Sun, 22 Nov 2095 01:01:40 GMT", 100.0),
        ("Sun, 22 Nov 2020 01:00:00 GMT", "Sun, 22 Nov 2020 00:00:00 GMT", 0.0),
        (None, "Sun, 22 Nov 2020 01:01:40 GMT", None),
    ],
)
def test_or_until_when_by_its_own_clock(
    receiver: Receiver, date: str | None, until: str, seconds: float | None
) -> None:
    told = {"Retry_After": until} | ({} if date is None else {"Date": date})
    receiver.answers = [answer("429 Many", **told)]
    with pytest.raises(Retry) as caught:
        ask(url=receiver.url)
    assert caught.value.after == seconds
