"""Every block of code in the pages is run by a test, or it is said why not; what it names exists."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from celery.bin import celery as celery_command

from service import cli
from tests.patience import PATIENCE
from tests.repository import blocks
from tests.repository.blocks import Block, Declared, Run
from tests.repository.pages import ROOT
from workers.http.request import Request

ALL = blocks.blocks()
TYPED = [block for block in ALL if blocks.is_typed(block)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
#: Runs programs, each in a fork of its own: what they import is imported once.
FORKING = """
import json, os, sys
import flask, pydantic, sqlalchemy, httpx
import schedules, workers
from service.web import face
for name, program in json.load(sys.stdin):
    child = os.fork()
    if not child:
        try:
            exec(compile(program, name, "exec"), {"__name__": "page"})
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_every_block_is_run_or_it_is_said_why_not() -> None:
    assert len(ALL) > 150
    assert [str(block) for block in ALL if blocks.how(block) is None] == []


def test_no_line_of_the_table_is_about_nothing() -> None:
    used = {found[0] for block in ALL if (found := blocks.how(block))}
    stale = [blocks.CHECKED[n][:3] for n in sorted(set(range(len(blocks.CHECKED))) - used)]
    # These two have blocks when results are kept.
    assert {page for page, _, _ in stale} <= {"docs/performance.md", "docs/reliability.md", "docs/scale.md"}


def test_a_new_block_would_be_missed() -> None:
    assert blocks.how(Block("docs/console.md", "python", "x = 1\n")) is None
    assert blocks.how(Block("docs/client.md", "ruby", "x = 1\n")) is None


def test_who_is_said_to_run_them_reads_those_pages() -> None:
    for page, _, _, how in blocks.CHECKED:
        if isinstance(how, Run):
            text = (ROOT / how.test).read_text()
            name = "runbooks" if page.startswith("docs/runbooks") else page.rpartition("/")[2]
            assert name in text, f"{how.test} says nothing of {page}"


@pytest.mark.parametrize("block", [b for b in ALL if b.language == "python"], ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.page, "exec")


def test_python_that_declares_is_executed() -> None:
    """The blocks of a page one after another, as in one file."""
    pages: dict[str, list[str]] = {}
    for block in ALL:
        found = blocks.how(block)
        if block.language == "python" and found and isinstance(found[1], Declared):
            pages.setdefault(block.page, [found[1].before]).append(block.text)
    assert len(pages) >= 6
    programs = [(page, "\n".join(parts)) for page, parts in pages.items()]
    assert _said([*programs, ("none", "nobody")]) == "none: NameError: name 'nobody' is not defined\n"


def _said(programs: list[tuple[str, str]]) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", FORKING], input=json.dumps(programs), env=environment, capture_output=True, text=True,
        check=False, timeout=120 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", [b for b in ALL if b.language in ("json", "ini")], ids=str)
def test_data_can_be_read(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    else:
        configparser.ConfigParser().read_string(block.text)


def test_a_shell_can_read_what_is_typed() -> None:
    assert len(TYPED) > 100
    for block in TYPED:
        done = subprocess.run(["bash", "-n"], input=blocks.typed(block), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), str(block)


def test_verbs_options_and_targets_that_are_typed_exist() -> None:
    roots = {"millrace": cli.main, "celery": celery_command.celery}
    seen = []
    for block in TYPED:
        for words in blocks.commands(blocks.typed(block)):
            seen.append(words)
            if words[0] == "make":
                asked = [word for word in words[1:] if re.fullmatch("[a-z-]+", word)]
                assert set(asked) <= TARGETS, str(block)
            else:
                assert blocks.complaint(words, roots) == "", str(block)
    assert len(seen) > 80


@pytest.mark.parametrize(
    "typed",
    ["millrace replays", "millrace web --port 1", "celery -A workers work", "millrace keys create x --rolle admin"],
)
def test_what_does_not_exist_would_be_found(typed: str) -> None:
    roots = {"millrace": cli.main, "celery": celery_command.celery}
    ((words),) = blocks.commands(typed)
    assert blocks.complaint(words, roots)


def test_the_request_that_is_shown_is_one() -> None:
    (block,) = [b for b in ALL if b.page == "docs/webhooks.md" and "--json" in b.text]
    words = shlex.split(block.text)
    Request.model_validate_json(words[words.index("--json") + 1])
