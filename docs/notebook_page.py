"""The notebook examples/tutorial.ipynb as a page, docs/notebook.md, with its figures.

python docs/notebook_page.py            execute the notebook, keep its outputs, write the page
python docs/notebook_page.py --check    exit with 1 if the page is not that of the notebook
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "tutorial.ipynb"
PAGE = ROOT / "docs" / "notebook.md"
IMAGES = ROOT / "docs" / "images"
NOTE = """\
*This page is the notebook [tutorial.ipynb](../examples/tutorial.ipynb), with what it prints
and draws. `python docs/notebook_page.py` executes the notebook and writes this page.*
"""


def read(text: str) -> list[dict[str, Any]]:
    """The cells of a notebook, each with its `source` as one text."""
    cells: list[dict[str, Any]] = json.loads(text)["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def executed(folder: Path) -> str:
    """The notebook with the outputs of a run in ``folder``, as its file is to be."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # when it was executed
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return str(nbformat.writes(notebook)) + "\n"


def printed(cell: dict[str, Any]) -> str:
    """What a code cell printed."""
    outputs = [output for output in cell["outputs"] if output["output_type"] == "stream"]
    return "".join("".join(output["text"]) for output in outputs)


def drawn(cell: dict[str, Any]) -> list[bytes]:
    """The figures of a code cell, as PNG files."""
    found = [output.get("data", {}).get("image/png") for output in cell["outputs"]]
    return [base64.b64decode("".join(picture)) for picture in found if picture]


def files(cells: list[dict[str, Any]]) -> dict[Path, bytes]:
    """The page and its images."""
    parts: list[str] = []
    images: dict[Path, bytes] = {}
    for cell in cells:
        source = cell["source"]
        if cell["cell_type"] == "markdown":
            parts.append(source.replace("](../docs/", "]("))
            if len(parts) == 1:
                parts.append(NOTE.rstrip())
            continue
        parts.append(f"```python\n{source}\n```")
        if text := printed(cell).rstrip():
            parts.append(f"```text\n{text}\n```")
        for picture in drawn(cell):
            name = f"notebook-{len(images) + 1}.png"
            images[IMAGES / name] = picture
            axes = reversed(re.findall(r'label="([^"]+)"', source))
            parts.append(f"![{' against '.join(axes)}](images/{name})")
    return {PAGE: ("\n\n".join(parts) + "\n").encode(), **images}


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    if "--check" in sys.argv:
        found = files(read(NOTEBOOK.read_text("utf-8")))
        stale = [p for p, content in found.items() if not p.is_file() or p.read_bytes() != content]
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python docs/notebook_page.py")
        return bool(stale)
    with tempfile.TemporaryDirectory() as folder:
        text = executed(Path(folder))
    NOTEBOOK.write_text(text, "utf-8")
    for path, content in files(read(text)).items():
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
