"""Builds the documentation site in build/docs/site, and fails on any broken link or anchor.

python docs/build_site.py        what `make docs` runs

The pages of docs/ are written to be read on a forge, where a link may lead to any file of the
repository. The site has no repository around it, so the pages are copied to build/docs/docs first,
and each file that they link to becomes a page of its own under source/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BUILD = ROOT / "build" / "docs"
STAGE = BUILD / "docs"
CONFIG = "zensical.toml"
PROJECT = [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]  # pages of the navigation as well
ASSETS = {".png", ".svg", ".css"}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".json": "json"}
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
API = re.compile(r"^<!-- (::: .*?) *-->$", re.MULTILINE | re.DOTALL)


def stage() -> list[str]:
    """Copy the pages of docs/, and make a page of each file that they link to.

    Returns:
        Links that lead nowhere. The build itself looks at links to pages only.
    """
    shutil.rmtree(BUILD, ignore_errors=True)
    staged: dict[Path, Path] = {}  # a file or folder of the repository: its page
    waiting: list[Path] = []
    broken: list[str] = []

    def page_of(file: Path) -> Path:
        if file not in staged:
            staged[file] = STAGE / place_of(file)
            waiting.append(file)
        return staged[file]

    for page in [*sorted(DOCS.rglob("*.md")), *PROJECT]:
        page_of(page)
    while waiting:
        file = waiting.pop(0)
        target = staged[file]
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in ASSETS:
            shutil.copyfile(file, target)
        else:
            target.write_text(relinked(text_of(file), file, page_of, broken), encoding="utf-8")
    for asset in DOCS.glob("*.css"):
        shutil.copyfile(asset, STAGE / asset.name)
    shutil.copyfile(DOCS / CONFIG, BUILD / CONFIG)
    return broken


def place_of(file: Path) -> Path:
    """Where a file or folder of the repository lies in the site's sources."""
    inside = file.is_relative_to(DOCS)
    place = file.relative_to(DOCS) if inside else Path("source") / file.relative_to(ROOT)
    if file.suffix in {".md", *ASSETS}:
        return place
    return place / "index.md" if file.is_dir() else place.with_name(f"{place.name}.md")


def text_of(file: Path) -> str:
    """A page in Markdown: the file itself, the list of a folder, or the text of a source file."""
    name = file.relative_to(ROOT)
    if file.is_dir():
        within = sorted(f for f in file.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
        rows = [f"- [{f.relative_to(file)}]({f.relative_to(file)})" for f in within]
        return f"# {name}/\n\n" + "\n".join(rows) + "\n"
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    fence = "`" * 3
    return f"# {name}\n\n{fence}{LANGUAGES.get(file.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"


def relinked(text: str, file: Path, page_of: Callable[[Path], Path], broken: list[str]) -> str:
    """The page with its links turned to the pages of the site, and its API entries in effect."""
    target = page_of(file)

    def turned(found: re.Match[str]) -> str:
        path, hash_, anchor = found[1].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return found[1]
        linked = ((file if file.is_dir() else file.parent) / path).resolve()
        if not (linked.exists() and linked.is_relative_to(ROOT)):
            broken.append(f"{file.relative_to(ROOT)}: {found[1]}")
            return found[1]
        return os.path.relpath(page_of(linked), target.parent) + hash_ + anchor

    parts: list[str] = []
    end = 0
    for code in CODE.finditer(text):
        parts += [LINK.sub(turned, text[end : code.start()]), code[0]]
        end = code.end()
    parts.append(LINK.sub(turned, text[end:]))
    whole = "".join(parts)
    return API.sub(r"\1", whole) if file.is_relative_to(DOCS) else whole


def unlisted() -> list[str]:
    """Pages of docs/ that the navigation lacks, and the other way round."""

    def named(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        entries = entry.values() if isinstance(entry, dict) else entry
        return [name for each in entries for name in named(each)]  # type: ignore[attr-defined]

    nav = named(tomllib.loads((DOCS / CONFIG).read_text(encoding="utf-8"))["project"]["nav"])
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    listed = {name for name in nav if not name.startswith("source/")}
    return sorted(pages ^ listed) + sorted({name for name in nav if nav.count(name) > 1})


def main() -> int:
    """Stage the pages and build them strictly."""
    if wrong := unlisted():
        print(f"docs/{CONFIG}: each page of docs/ stands once in nav; wrong: {', '.join(wrong)}")
        return 1
    if broken := stage():
        print("links that lead nowhere:", *broken, sep="\n")
        return 1
    path = os.pathsep.join([str(DOCS), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.call(command, cwd=BUILD, env=os.environ | {"PYTHONPATH": path})


if __name__ == "__main__":
    sys.exit(main())
