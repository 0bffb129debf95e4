"""Makes a site of pages that are read in the repository, too: a hook of MkDocs, see mkdocs.yml.

Pages of the root come in. Links to what is no page, code mostly, become plain words. Runbooks and decisions are listed.
"""

from __future__ import annotations

import pathlib
import posixpath
import re
from typing import Any

from mkdocs.structure import files as mkdocs_files

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: Pages of the root → where they stand in the site.
OUTSIDE = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/numbers/README.md": "numbers.md",
}
#: Folders whose pages are all listed: title → (part of the site, folder).
LISTED = {"Runbooks": ("How-to", "runbooks"), "Decisions": ("Explanation", "decisions")}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_config(config: Any) -> Any:
    """List what is listed by folder."""
    parts = {title: pages for entry in config.nav for title, pages in entry.items()}
    for title, (part, folder) in LISTED.items():
        found = sorted(path.name for path in (ROOT / "docs" / folder).glob("*.md"))
        parts[part].append({title: [f"{folder}/{name}" for name in sorted(found, key=lambda n: n != "README.md")]})
    parts["Explanation"] += [{"Architecture": "architecture.md"}, {"Contribute": "contributing.md"}]
    parts["Explanation"].append({"Changes": "changelog.md"})
    parts["Tutorial"] = None
    for entry in config.nav:
        if "Tutorial" in entry:
            entry["Tutorial"] = [{"The first hour": "tutorial.md"}, {"The numbers application": "numbers.md"}]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Take in the pages of the root."""
    for source, target in OUTSIDE.items():
        files.append(mkdocs_files.File.generated(config, target, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Mend the links of a page, but not what stands in its blocks of code."""
    place = page.file.src_uri
    source = next((path for path, target in OUTSIDE.items() if target == place), f"docs/{place}")
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(lambda m: _link(m, source), part) for part in parts)


def _link(found: re.Match[str], source: str) -> str:
    words, target = found.groups()
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return found[0]
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if not (ROOT / whole).exists():
        return found[0]  # MkDocs complains of it.
    if (ROOT / whole / "README.md").is_file():
        whole += "/README.md"
    page = _page(whole)
    if page is None:
        return str(words)
    here = _page(source) or ""
    return f"[{words}]({posixpath.relpath(page, posixpath.dirname(here) or '.')}{'#' * bool(anchor)}{anchor})"


def _page(path: str) -> str | None:
    """Where a file of the repository stands in the site; None: nowhere."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    inside = path.startswith("docs/") and (ROOT / path).is_file()
    return path.removeprefix("docs/") if inside else None
