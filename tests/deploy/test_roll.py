"""``deploy/kubernetes/roll``: in which order it asks kubectl, which is stood for by one that notes it."""

from __future__ import annotations

import os
import pathlib
import subprocess

from tests.processes import ROOT

#: As the API does: a Job that is there takes no other template. `wait` ends as the file says.
KUBECTL = """#!/bin/sh
echo "$*" >> calls
case "$*" in
    *"delete job migrate"*) rm -f job ;;
    kustomize*) cat rendered ;;
    "apply -l"*) cat > job ;;
    *" wait "*) exit "$(cat ends)" ;;
    "apply -k"*) cmp -s rendered job || { echo 'Job "migrate" is invalid: field is immutable' >&2; exit 1; } ;;
esac
"""


def roll(folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    words = [ROOT / "deploy/kubernetes/roll", "mine"]
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def prepare(folder: pathlib.Path) -> None:
    (folder / "bin").mkdir()
    (folder / "bin/kubectl").write_text(KUBECTL)
    (folder / "bin/kubectl").chmod(0o755)
    (folder / "job").write_text("with the settings of before")
    (folder / "rendered").write_text("with other settings")
    (folder / "ends").write_text("0")


def test_other_settings_are_brought_as_new_code_is(tmp_path: pathlib.Path) -> None:
    prepare(tmp_path)
    for _ in range(2):  # Once more, it is the same.
        done = roll(tmp_path)
        assert done.returncode == 0, done.stderr
    verbs = [line.replace("-n millrace ", "").split()[:2] for line in (tmp_path / "calls").read_text().splitlines()]
    once = [" ".join(words) for words in verbs[: len(verbs) // 2]]
    assert sorted(once[1:3]) == ["apply -l", "kustomize mine"]  # The two ends of a pipe.
    assert [once[0], *once[3:]] == ["delete job", "wait --for=condition=complete", "apply -k"]


def test_nothing_is_rolled_out_after_a_migration_that_has_not_ended(tmp_path: pathlib.Path) -> None:
    prepare(tmp_path)
    (tmp_path / "ends").write_text("1")
    done = roll(tmp_path)
    assert done.returncode == 1
    assert "logs job/migrate" in done.stderr
    assert "apply -k" not in (tmp_path / "calls").read_text()
