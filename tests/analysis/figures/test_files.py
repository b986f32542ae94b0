"""The files that figures are drawn into: which, in which form, and why one is left out."""

import re
import shutil
import subprocess
import sys
import zlib

import matplotlib as mpl
import pytest
from figure_checks import STUDY, grouped

from afl_sim import analysis
from afl_sim.analysis import FIGURES, CannotDraw, theme
from afl_sim.analysis.drawing import rendered
from afl_sim.errors import InputError
from afl_sim.recording import RunFolder, load_run

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_listing_figures_imports_no_plotting_library():
    code = (
        "import sys; from afl_sim.analysis import FIGURES; print(*FIGURES); "
        "print([m for m in ('matplotlib', 'seaborn', 'torch', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == [" ".join(FIGURES), "[]"]


@pytest.mark.usefixtures("_unrendered")
def test_all_figures_are_drawn_unless_some_are_named(runs, tmp_path):
    drawn = analysis.draw([grouped(runs[0])], tmp_path)
    assert [entry.figure for entry in drawn] == list(FIGURES)
    written = sorted(path.name for path in tmp_path.iterdir())
    absent = (*STUDY, "adaptation", "bandwidth")  # no controller, no trace of bandwidth
    assert written == sorted(f"{name}.png" for name in FIGURES if name not in absent)
    for entry in drawn:
        if entry.figure in STUDY:
            assert "there is only one setting, so there is nothing to compare" in entry.line


def test_figures_are_drawn_in_each_format(runs, tmp_path):
    folder = tmp_path / "new" / "figures"
    drawn = analysis.draw(runs[:2], folder, ["staleness", "accuracy"], ("png", "svg", "pdf"))
    assert [entry.figure for entry in drawn] == ["staleness", "accuracy"]
    for entry in drawn:
        assert [path.name for path in entry.paths] == [
            f"{entry.figure}.{form}" for form in ("png", "svg", "pdf")
        ]
        assert all(path.stat().st_size > 3000 for path in entry.paths)
        assert entry.skipped is None
        assert str(entry.paths[0]) in entry.line


def test_the_same_runs_give_the_same_bytes(runs, tmp_path):
    files = []
    for name in ("a", "b"):
        (entry,) = analysis.draw(
            runs[:1], tmp_path / name, ["staleness"], formats=("png", "pdf", "svg")
        )
        files.append([path.read_bytes() for path in entry.paths])
    assert files[0] == files[1]


def fonts_in(pdf):
    """The kinds of fonts that a PDF holds, also in compressed streams, and how many programs."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    parts = [pdf, *(unpacked(stream) for stream in streams)]
    kinds = {
        kind.decode()
        for part in parts
        for kind in re.findall(rb"/Subtype\s*/(Type\w+|TrueType|CIDFont\w+)", part)
    }
    return kinds, sum(part.count(b"/FontFile2 ") for part in parts)


def unpacked(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


@pytest.mark.parametrize("style", theme.STYLES)
def test_pdfs_embed_truetype_fonts_in_every_style_and_for_math(runs, style, tmp_path):
    figure = FIGURES["gradient-norm"].function(runs[:2], style=style)  # powers of ten are math
    figure.axes[0].set_title(r"$\alpha_i^{-3}\;\mathcal{L}\;\frac{x}{y}\;\sqrt{2}$ − … é")
    figure.savefig(tmp_path / "plain.pdf")
    for content in rendered(figure, "pdf"), (tmp_path / "plain.pdf").read_bytes():
        kinds, programs = fonts_in(content)
        assert kinds == {"Type0", "CIDFontType2"}
        assert programs >= 3  # upright, italic and the symbols


def test_the_fonts_of_a_pdf_are_found(tmp_path):
    figure = mpl.figure.Figure()
    figure.text(0.5, 0.5, "one")
    figure.savefig(tmp_path / "a.pdf")
    assert fonts_in((tmp_path / "a.pdf").read_bytes()) == ({"Type3"}, 0)
    packed = b"stream\n" + zlib.compress(b"<< /Subtype /Type3 >>") + b"\nendstream"
    assert fonts_in(packed)[0] == {"Type3"}


@pytest.mark.usefixtures("_unrendered")
def test_more_runs_than_fit_one_page_make_further_files(runs, tmp_path):
    (entry,) = analysis.draw(runs, tmp_path, ["timeline"])
    assert [path.name for path in entry.paths] == ["timeline.png", "timeline-2.png"]


@pytest.mark.usefixtures("_unrendered")
def test_a_figure_that_a_run_cannot_supply_says_so(timing_only, runs, tmp_path):
    drawn = {entry.figure: entry for entry in analysis.draw([timing_only], tmp_path)}
    assert drawn["accuracy"].paths == ()
    assert drawn["accuracy"].line == "accuracy: not drawn: clock: no evaluations (timing only)"
    assert drawn["timeline"].paths
    (mixed,) = analysis.draw([runs[0], timing_only], tmp_path, ["accuracy"])
    assert len(mixed.paths) == 1
    assert "without clock: no evaluations" in mixed.line


def test_a_run_that_has_not_ended_is_skipped_not_fatal(tmp_path):
    RunFolder.create(tmp_path / "a", "name: a\nstrategy: {kind: fedavg}\n", {})
    run = load_run(tmp_path / "a")
    drawn = analysis.draw([run], tmp_path / "figures")
    assert all(entry.skipped and not entry.paths for entry in drawn)
    lines = {entry.figure: entry.line for entry in drawn}
    for figure in ("accuracy", "time-to-accuracy", "timeline", "sweep"):
        assert "a: not finished (in progress or interrupted; `afl-sim resume`" in lines[figure]
        assert "timing only" not in lines[figure]
    with pytest.raises(CannotDraw, match="a: not finished"):
        FIGURES["timeline"].function([run])


@pytest.mark.usefixtures("_unrendered")
def test_of_runs_that_are_left_out_each_says_why(timing_only, runs, tmp_path):
    RunFolder.create(tmp_path / "begun", "name: begun\nstrategy: {kind: fedavg}\n", {})
    damaged = shutil.copytree(runs[0].path, tmp_path / "damaged")
    mixed = [runs[0], timing_only, load_run(tmp_path / "begun"), load_run(damaged)]
    (damaged / "metrics.parquet").write_bytes(b"PAR1")
    (entry,) = analysis.draw(mixed, tmp_path / "figures", ["accuracy"])
    assert len(entry.paths) == 1
    assert "clock: no evaluations (timing only)" in entry.line
    assert "begun: not finished" in entry.line
    assert "metrics.parquet is damaged" in entry.line


def test_wrong_requests_are_input_errors(runs, tmp_path):
    with pytest.raises(InputError, match=r"no figure 'stalenes'.*did you mean 'staleness'"):
        analysis.draw(runs, tmp_path, ["stalenes"])
    with pytest.raises(InputError, match="no runs"):
        analysis.draw([], tmp_path)
    with pytest.raises(InputError, match=r"format 'gif'.*png, pdf or svg"):
        analysis.draw(runs[:1], tmp_path, ["staleness"], formats=["gif"])
    with pytest.raises(InputError, match=r"style 'papper'.*did you mean 'paper'"):
        analysis.draw(runs[:1], tmp_path, ["staleness"], style="papper")
    with pytest.raises(InputError, match="style 'papper'"):  # though there is nothing to draw
        analysis.draw(runs[:1], tmp_path, ["sweep"], style="papper")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        analysis.draw(runs[:1], tmp_path / "file" / "figures", ["staleness"])
