"""``python -m deploy.release [folder]``: make a release of what is committed; without a folder, in ``dist``."""

from __future__ import annotations

import pathlib
import sys

from deploy.release import ROOT, building, dependencies, licences, sbom


def make(folder: pathlib.Path) -> list[pathlib.Path]:
    """All files of a release, in the place of those of another one. Raises SystemExit with what is wrong."""
    packages = dependencies.read()
    if faults := licences.faults(packages):
        sys.exit("\n".join(f"millrace: {fault}" for fault in faults))
    epoch = building.epoch()
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob(f"{sbom.PROJECT}-*"), folder / building.SUMS):
        old.unlink(missing_ok=True)
    sdist, wheel = building.build(folder, epoch)
    stem = sdist.name.removesuffix(".tar.gz")
    texts = {
        "requirements.txt": dependencies.lock(),
        "cdx.json": sbom.document(packages, epoch),
        "licences.md": licences.page(packages),
    }
    for ending, text in texts.items():
        (folder / f"{stem}.{ending}").write_text(text)
    made = [sdist, wheel, *(folder / f"{stem}.{ending}" for ending in texts)]
    return [*made, building.sums(folder, made)]


def main(words: list[str]) -> None:
    """Make it, and say what there is."""
    if changed := building.uncommitted():
        sys.exit(f"millrace: a release is made of what is committed; this is not: {', '.join(changed)}")
    for path in make(pathlib.Path(words[0]) if words else ROOT / "dist"):
        print(path)  # noqa: T201
    if not list(ROOT.glob("LICENSE*")):
        print("millrace: there is no LICENSE: whoever gets this may not pass it on", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
