"""Tracebacks without the machine's folders."""

from __future__ import annotations

import json
import sys
import traceback

import pytest

from service.application import places
from service.web.console import words


def test_files_are_named_as_they_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", "/srv/shop/code", "/srv/shop"])
    trace = """Traceback (most recent call last):
  File "/srv/shop/code/orders/handlers.py", line 7, in place
  File "/srv/venv/lib/python3.12/site-packages/sqlalchemy/engine/base.py", line 3, in run
  File "/usr/lib/python3.12/json/decoder.py", line 337, in decode
  File "/elsewhere/tool.py", line 1, in <module>
  File "<string>", line 1, in <module>
  |   File "/srv/shop/group.py", line 2, in each
ValueError: no such file: "/srv/shop/code/x"
"""
    assert (
        places.shortened(trace)
        == """Traceback (most recent call last):
  File "orders/handlers.py", line 7, in place
  File "site-packages/sqlalchemy/engine/base.py", line 3, in run
  File "python3.12/json/decoder.py", line 337, in decode
  File "/elsewhere/tool.py", line 1, in <module>
  File "<string>", line 1, in <module>
  |   File "group.py", line 2, in each
ValueError: no such file: "/srv/shop/code/x"
"""
    )


def test_ones_own_code_is_told_from_libraries() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        trace = places.shortened("".join(traceback.format_exception(error)))
    shown = [line for line in str(words.traceback(trace)).split("\n") if "File" in line]
    assert [line.split('"')[1] for line in shown] == ["own", *["lib"] * (len(shown) - 1)]
    assert "tests/unit/test_places.py" in shown[0]
    assert not any("File &#34;/" in line for line in shown)
