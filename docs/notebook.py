"""The notebook examples/tutorial.ipynb as a page, docs/notebook.md, with its figures.

python docs/notebook.py            execute the notebook, keep its outputs, write the page
python docs/notebook.py --check    exit with 1 if the page is not that of the notebook
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "tutorial.ipynb"
PAGE = ROOT / "docs" / "notebook.md"
IMAGES = ROOT / "docs" / "images"
NOTE = """\
*This page is the notebook [tutorial.ipynb](../examples/tutorial.ipynb), with what it prints
and draws. `python docs/notebook.py` executes the notebook and writes this page.*
"""


def executed(folder: Path) -> Any:
    """The notebook with the outputs of a run in ``folder``."""
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # times of execution
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def printed(cell: Any) -> str:
    """What a code cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def files(notebook: Any) -> dict[Path, bytes]:
    """The page and its images."""
    parts: list[str] = []
    images: dict[Path, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source.replace("](../docs/", "]("))
            if len(parts) == 1:
                parts.append(NOTE.rstrip())
            continue
        parts.append(f"```python\n{cell.source}\n```")
        if text := printed(cell).rstrip():
            parts.append(f"```text\n{text}\n```")
        for output in cell.outputs:
            if picture := output.get("data", {}).get("image/png"):
                name = f"notebook-{len(images) + 1}.png"
                images[IMAGES / name] = base64.b64decode(picture)
                labels = re.findall(r'label="([^"]+)"', cell.source)
                parts.append(f"![{' against '.join(reversed(labels))}](images/{name})")
    return {PAGE: ("\n\n".join(parts) + "\n").encode(), **images}


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    if "--check" in sys.argv:
        found = files(nbformat.read(NOTEBOOK, as_version=4))
        stale = [p for p, content in found.items() if not p.is_file() or p.read_bytes() != content]
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python docs/notebook.py")
        return bool(stale)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("PYTHONPATH", str(ROOT))
        notebook = executed(Path(folder))
    nbformat.write(notebook, NOTEBOOK)
    for path, content in files(notebook).items():
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
