"""The fenced blocks of the pages, and how each of them is known to be right.

Every block has a line in ``CHECKED``: who runs it, what it is declared with, or why nobody runs it. The first line
that fits a block holds for it. Blocks of a shell are looked at in any case (``commands``).
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
import shlex
from collections.abc import Iterator

import click

from tests.repository.pages import ROOT

FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: A call where a shell looks for one, behind settings, or in a container of the service `web`.
CALL = re.compile(
    r"(?:^|[|;&(]\s*|\bweb (?:-- )?)(?:\w+=\S*\s+)*((?:millrace|celery|make)(?: [^|;&<>()`]*|$))", re.MULTILINE
)
#: Fences of blocks that are typed into a shell; one without a name is, unless a line of ``CHECKED`` says what it is.
SHELLS = ("sh", "bash", "console")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.language or 'plain'}: {self.text.strip().splitlines()[0][:60]}"


@dataclasses.dataclass(frozen=True)
class Run:
    """A test that runs the block as it stands there."""

    test: str


@dataclasses.dataclass(frozen=True)
class Declared:
    """Python that is executed here, with this before it."""

    before: str = ""


@dataclasses.dataclass(frozen=True)
class Words:
    """A shell's: programs, verbs and options of ours exist. ``because``: why it is not typed."""

    because: str


@dataclasses.dataclass(frozen=True)
class Shown:
    """Nothing to be run."""

    because: str


How = Run | Declared | Words | Shown
HANDLERS = "import httpx\nfrom workers import Context, Objective, handler\nSTOCK = ''\n"
SERVERS = "it speaks to servers of the reader's; the same steps are typed in tests/deploy/test_services.py"
FOREVER = "a command that goes on; tests start it in many ways"
CLUSTER = "it needs a cluster, or an engine with a registry; tests/deploy/test_boxed.py has one without"
EVENTS = "names an event that the reader has; tests/integration/test_verbs.py runs every verb"

#: (page, language, what is in the block, how it is checked)
CHECKED: list[tuple[str, str, str, How]] = [
    ("README.md", "console", "", Run("tests/e2e/test_readme.py")),
    ("README.md", "", "", Words(FOREVER)),
    ("README.md", "python", "", Declared()),
    ("CONTRIBUTING.md", "python", "", Shown("an excerpt; tests/faults is full of it")),
    ("CONTRIBUTING.md", "", "", Words("targets of make")),
    ("ARCHITECTURE.md", "", "", Shown("drawings")),
    ("docs/access.md", "sh", "", Run("tests/integration/test_access_page.py")),
    ("docs/access.md", "python", "", Declared(
        "import flask\nimport pydantic\nfrom service.web import face\npage = flask.Blueprint('orders', __name__)\n"
    )),
    ("docs/access.md", "", "", Words("tests/integration/test_access_page.py looks at verbs and settings")),
    ("docs/backup.md", "bash", "", Run("tests/integration/test_backup.py")),
    ("docs/backup.md", "", "", Words(SERVERS)),
    ("docs/client.md", "python", "", Run("tests/integration/test_producers.py")),
    ("docs/deploy.md", "sh", "", Run("tests/deploy/test_pages.py")),
    ("docs/deploy.md", "console", "compose", Run("tests/deploy/test_services.py")),
    ("docs/deploy.md", "console", "kubectl", Run("tests/deploy/test_pods.py")),
    ("docs/deploy.md", "yaml", "", Run("tests/deploy/test_kubernetes.py")),
    ("docs/deploy.md", "", "-m venv", Run("tests/deploy/test_booted.py")),
    ("docs/deploy.md", "", "systemctl", Run("tests/deploy/test_booted.py")),
    ("docs/deploy.md", "dockerfile", "", Shown(CLUSTER)),
    ("docs/deploy.md", "", "", Words(CLUSTER)),
    ("docs/guarantees.md", "sh", "", Run("tests/integration/test_guarantees_page.py")),
    ("docs/guarantees.md", "", "", Words(FOREVER)),
    ("docs/handlers.md", "python", "", Declared(HANDLERS)),
    ("docs/handlers.md", "", "", Words(FOREVER)),
    ("docs/http.md", "sh", "", Run("tests/integration/test_http_page.py")),
    ("docs/http.md", "json", "", Shown("an answer, parsed here")),
    ("docs/lifecycle.md", "mermaid", "", Run("tests/repository/test_lifecycle.py")),
    ("docs/model/README.md", "", "", Words("minutes; tests/unit/test_model.py runs spin")),
    ("docs/monitoring.md", "python", "", Declared()),
    ("docs/monitoring.md", "", "", Words(FOREVER)),
    ("docs/operations.md", "", "", Words(EVENTS)),
    ("docs/performance.md", "", "", Shown("results and commands, written by bench/report.py")),
    ("docs/postgresql.md", "ini", "", Run("tests/deploy/test_pooled.py")),
    ("docs/postgresql.md", "sh", "userlist", Run("tests/deploy/test_pooled.py")),
    ("docs/postgresql.md", "", "", Words(SERVERS)),
    ("docs/producers.md", "*", "", Run("tests/integration/test_producers.py")),
    ("docs/rabbitmq.md", "console", "", Run("tests/integration/test_topology_changes.py")),
    ("docs/rabbitmq.md", "", "", Words(SERVERS)),
    ("docs/reliability.md", "", "", Shown("results, written by tests/faults/report.py")),
    ("docs/releases.md", "", "", Words("tests/deploy/test_release.py takes the steps, in words of its own")),
    ("docs/retention.md", "", "", Words("settings, and events that the reader has")),
    ("docs/runbooks/MillraceEventsUnpartitioned.md", "sql", "", Shown("it names a day, for a ledger in trouble")),
    ("docs/runbooks/README.md", "sh", "compose exec", Run("tests/deploy/test_services.py")),
    ("docs/runbooks/README.md", "sh", "", Shown("addresses of the reader's")),
    ("docs/runbooks/*.md", "sh", "", Run("tests/monitoring/rules.py")),
    ("docs/scale.md", "", "", Shown("results, written by bench/report.py")),
    ("docs/schedules.md", "python", "", Declared("from schedules import at, cron, every\n")),
    ("docs/schedules.md", "", "schedules preview", Run("tests/repository/test_schedules_page.py")),
    ("docs/schedules.md", "", "celery", Words(FOREVER)),
    ("docs/schedules.md", "", "", Shown("the fields of cron")),
    ("docs/tracing.md", "python", "", Declared(HANDLERS)),
    ("docs/tracing.md", "", "pip install", Words("it asks a registry")),
    ("docs/tracing.md", "", "", Shown("a drawing")),
    ("docs/tutorial.md", "*", "", Run("tests/deploy/test_tutorial.py")),
    ("docs/upgrades.md", "", "", Words("tests/faults/test_upgrade.py drives it from two checkouts")),
    ("docs/webhooks.md", "", "webhook-id", Shown("headers; tests/unit/test_webhooks.py has their vectors")),
    ("docs/webhooks.md", "", "curl", Words("it reaches the internet; its payload is read by test_blocks.py")),
    ("docs/webhooks.md", "", "", Words(FOREVER)),
]  # fmt: skip


@functools.cache
def blocks() -> list[Block]:
    """All blocks of all pages."""
    pages = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("examples/*/README.md")]
    pages += sorted((ROOT / "docs").rglob("*.md"))
    found = ((path, FENCE.findall(path.read_text())) for path in pages)
    return [Block(str(path.relative_to(ROOT)), *one) for path, many in found for one in many]


def how(block: Block) -> tuple[int, How] | None:
    """The first line of ``CHECKED`` that fits, and its number."""
    for number, (page, language, words, found) in enumerate(CHECKED):
        fits = fnmatch.fnmatch(block.page, page) and fnmatch.fnmatch(block.language, language)
        if fits and words in block.text:
            return number, found
    return None


def is_typed(block: Block) -> bool:
    """Whether it goes into a shell."""
    found = how(block)
    plain = block.language == "" and found is not None and not isinstance(found[1], Shown)
    return block.language in SHELLS or plain


def typed(block: Block) -> str:
    """What is typed of it, without what is printed."""
    if not re.search(r"^\$ ", block.text, re.MULTILINE):
        return block.text
    lines, on = [], False
    for line in block.text.splitlines():
        on = line.startswith("$ ") or (on and line.startswith(" "))
        lines += [line.removeprefix("$ ")] if on else []
    return "\n".join(lines) + "\n"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each call of ``millrace``, ``celery`` and ``make`` that a shell would be given."""
    joined = re.sub(r"\\\n", " ", text)
    for line in joined.splitlines():
        told = re.sub(r"(^|\s)#.*", "", line)
        for found in CALL.finditer(told):
            try:
                words = shlex.split(found[1])
            except ValueError:  # It ends within quotes: a redirection stands in them.
                words = found[1].split()
            if "$@" not in words:  # A function that hands on what is typed after its name.
                yield words


def complaint(words: list[str], roots: dict[str, click.Command]) -> str:
    """What does not exist of these words; empty when all does."""
    command: click.Command = roots[words[0]]
    rest, options = words[1:], _options(command)
    while isinstance(command, click.Group) and rest:
        word = rest.pop(0)
        if word.startswith("-"):
            if word not in options:
                return f"{' '.join(words)}: no option {word}"
            rest = rest[options[word] :]
        elif word in command.commands:
            command = command.commands[word]
            options |= _options(command)
        else:
            return f"{' '.join(words)}: no verb {word}"
    unknown = [word for word in rest if re.match(r"--?[a-zA-Z]", word) and word.partition("=")[0] not in options]
    return f"{' '.join(words)}: no option {unknown[0]}" if unknown else ""


def _options(command: click.Command) -> dict[str, int]:
    """Option → how many words follow it."""
    found = {"--help": 0, "--version": 0}
    for one in command.params:
        follow = 0 if getattr(one, "is_flag", False) or getattr(one, "count", False) else 1
        found |= dict.fromkeys((*one.opts, *one.secondary_opts), follow)
    return found
