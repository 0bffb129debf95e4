"""What the command line prints steers no terminal."""

from __future__ import annotations

import pytest

from service import terminal
from service.domain import errors


def test_an_error_that_tells_of_what_somebody_has_sent_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    @terminal.told
    def fail() -> None:
        fault = errors.Fault("/name", "\x1b]0;owned\x07")
        raise errors.InvalidEvent([fault], "refused: \x1b[2J is no name\nat all")

    with pytest.raises(SystemExit) as ended:
        fail()
    said = capsys.readouterr().err
    assert (ended.value.code, "\x1b" in said, "\x07" in said) == (1, False, False)
    assert [line[:10] for line in said.splitlines()] == ["millrace: "] * 3
