"""The wheel: what is in it, and that it works from another folder without the source tree."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from commands import QUICK, ROOT, SMALLEST, Command, digests
from finished import Finished

MNIST = {
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
}
WHERE = """
import importlib.resources
import os

import afl_sim
from afl_sim import analysis

print(afl_sim.__file__)
print(os.path.dirname(analysis.__file__))
print((importlib.resources.files("afl_sim.analysis.report") / "page.html").is_file())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_a_wheel_holds_the_program_its_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        for name in names:
            if name.startswith("afl_sim/"):
                source = ROOT / name
            else:
                continue
            assert archive.read(name) == source.read_bytes()
    assert "afl-sim = afl_sim.cli:main" in entry_points
    assert len(names) == len(set(names))
    assert {name.partition("/")[0] for name in names} == {"afl_sim", info}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    expected = {f"afl_sim/learning/data/mnist/{name}" for name in MNIST | {"SHA256SUMS"}}
    expected |= {f"afl_sim/{path.relative_to(ROOT)}" for path in (ROOT / "scenarios").rglob("*.*")}
    expected |= {"afl_sim/py.typed", f"{info}/licenses/LICENSE", f"{info}/METADATA"}
    package = ROOT / "afl_sim"
    expected |= {str(path.relative_to(ROOT)) for path in package.rglob("*.py")}
    for suffix in ("py", "html", "css", "js"):
        drawing = (package / "analysis").resolve()
        found = {f"afl_sim/{p.relative_to(ROOT)}" for p in drawing.rglob(f"*.{suffix}")}
        assert found
        expected |= found
    assert expected <= set(names)
    assert "afl_sim/scenarios/scenario.schema.json" in expected


def test_an_installed_wheel_runs_from_another_folder(
    wheel: Path, tmp_path: Path, finished: Finished
) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--no-compile", "--target", site, wheel], check=True
    )
    work = tmp_path / "work"
    work.mkdir()
    command = Command(work, tmp_path / "cache")
    installed = {"PYTHONPATH": str(site)}
    where = command.python(WHERE, **installed).succeeded().out.splitlines()
    assert where == [
        str(site / "afl_sim" / "__init__.py"),
        str(site / "afl_sim" / "analysis"),
        "True",
    ]

    assert command("validate", "quickstart", "smallest", **installed).succeeded().out == (
        "quickstart: ok, 3 runs\nsmallest: ok, 1 run\n"
    )
    (work / "mine.yaml").write_text(SMALLEST.read_text())
    ran, plotted = command.batch(
        [
            ("run", "mine.yaml", *QUICK, "--out", "run"),
            ("plot", "run", "--figure", "accuracy", "--out", "figures"),
        ],
        **installed,
    )
    ran.succeeded()
    assert digests(work / "run") == digests(finished.full)
    plotted.succeeded()
    assert (work / "figures" / "accuracy.png").is_file()
    assert (tmp_path / "cache" / "MNIST").is_dir()
