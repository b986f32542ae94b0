"""The wheel: what is in it, and that it works from another folder without the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from commands import QUICK, Command, digests
from finished import Finished
from places import ROOT, SMALLEST

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


def build(kind: str, source: Path, folder: Path) -> Path:
    """What `python -m build` makes of a source tree: a wheel or an sdist."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    built = subprocess.run(
        [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", folder, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--no-compile", "--target", folder, wheel], check=True
    )
    return folder


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


def test_a_wheel_of_an_sdist_is_the_wheel_of_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if member.issym() or member.islnk()]
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    assert packages == {"afl_sim"}
    assert (source / "afl_sim" / "analysis" / "report" / "page.html").is_file()
    assert (source / "afl_sim" / "scenarios" / "quickstart.yaml").is_file()

    def contents(path: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    assert contents(build("wheel", source, tmp_path / "wheel")) == contents(wheel)


FOREIGN = 'raise RuntimeError("a folder of the user was imported in place of the package\'s own")\n'


def foreign_packages(folder: Path) -> None:
    """Packages of the user that are named as folders of this repository."""
    for name in ("analysis", "scenarios"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(FOREIGN)


def test_packages_of_the_user_do_not_hide_ours_in_a_source_tree(
    afl_sim: Command, finished: Finished
) -> None:
    foreign_packages(afl_sim.folder)
    path = {"PYTHONPATH": os.pathsep.join([str(afl_sim.folder), str(ROOT)])}
    assert "a folder of the user was imported" in afl_sim.python("import analysis", **path).err
    lines = [("plot", finished.full, "--figure", "accuracy", "--out", "figures")]
    plotted, valid = afl_sim.batch([*lines, ("validate", "quickstart")], **path)
    plotted.succeeded()
    assert (afl_sim.folder / "figures" / "accuracy.png").is_file()
    assert valid.succeeded().out == "quickstart: ok, 3 runs\n"


def test_an_installed_wheel_runs_from_a_folder_with_packages_named_as_ours(
    site: Path, tmp_path: Path, finished: Finished
) -> None:
    work = tmp_path / "work"
    foreign_packages(work)
    command = Command(work, tmp_path / "cache")
    installed = {"PYTHONPATH": os.pathsep.join([str(work), str(site)])}
    where = command.python(WHERE, **installed).succeeded().out.splitlines()
    assert where == [
        str(site / "afl_sim" / "__init__.py"),
        str(site / "afl_sim" / "analysis"),
        "True",
    ]

    (work / "mine.yaml").write_text(SMALLEST.read_text())
    valid, ran, plotted = command.batch(
        [
            ("validate", "quickstart", "smallest"),
            ("run", "mine.yaml", *QUICK, "--out", "run"),
            ("plot", "run", "--figure", "accuracy", "--out", "figures"),
        ],
        **installed,
    )
    told = valid.succeeded().out.splitlines()
    assert told[:2] == ["quickstart: ok, 3 runs", "smallest: ok, 1 run"]
    ran.succeeded()
    assert digests(work / "run") == digests(finished.full)
    plotted.succeeded()
    assert (work / "figures" / "accuracy.png").is_file()
    assert (tmp_path / "cache" / "MNIST").is_dir()
