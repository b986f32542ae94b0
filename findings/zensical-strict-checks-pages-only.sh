#!/bin/sh
# Guess: a strict build of Zensical, which says that it validates all internal links, refuses a page
# whose picture does not exist, or which links to a file that does not exist.
# What happens: only links to Markdown pages are looked at. A missing picture, source file, table or
# folder passes with "No issues found" and exit code 0, and the site has dead links.
# Remedy: look for the targets of other links before the build.
# Upstream: https://zensical.org/docs/setup/validation/ describes the check; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check zensical==0.0.73
cd "$place"
"$place/venv/bin/zensical" --version
mkdir docs
cat > zensical.toml <<'TOML'
[project]
site_name = "x"
nav = [{ "Home" = "index.md" }]

[project.validation]
invalid_links = true
invalid_link_anchors = true
TOML
build() {
  code=0
  "$place/venv/bin/zensical" build --strict > log 2>&1 || code=$?
  echo "$1: exit code $code, $(grep -o 'No issues found' log || echo 'issues found')"
}
printf '# Home\n\n[page](missing.md)\n' > docs/index.md
build "a link to a missing page"
page=$code
printf '# Home\n\n![p](missing.png) [s](missing.py) [t](missing.csv) [f](missing/)\n' > docs/index.md
build "a missing picture, and links to a missing source file, table and folder"
[ "$page" -ne 0 ] && [ "$code" -eq 0 ]
