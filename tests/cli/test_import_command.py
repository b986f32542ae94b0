"""`import`: published measurements become tables and a scenario that runs at once."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Command

HSDPA = "1 1000 59.8 10.7 250000 1000\n2 2000 59.8 10.7 0 1000\n3 3000 59.8 10.7 500000 1000\n"


def test_an_import_is_a_scenario_that_validates_and_runs(afl_sim: Command, tmp_path: Path) -> None:
    (tmp_path / "bus.log").write_text(HSDPA)
    (tmp_path / "gap.log").write_text(HSDPA + "9 9000 59.8 10.7 5 1000\n")
    (tmp_path / "presence.csv").write_text("client,start,end\na,0,50\nb,10,100\n")
    made, again, other, run, validated, alone, two, gap = afl_sim.batch(
        [
            ("import", "hsdpa", "bus.log", "--out", "fleet.yaml"),
            ("import", "hsdpa", "bus.log", "--out", "fleet.yaml"),
            ("import", "hsdpa", "bus.log", "--out", "other.yaml", "--direction", "upload"),
            ("run", "fleet.yaml", "--timing-only", "--out", "run"),
            ("validate", "fleet.yaml"),
            ("import", "availability", "presence.csv", "--out", "p.csv", "--repeat", "100 s"),
            ("import", "hsdpa", "bus.log", "--out", "fleet.yaml", "--force"),
            ("import", "hsdpa", "gap.log", "--out", "gap.yaml"),
        ]
    )
    assert made.succeeded().out.splitlines() == [
        "1 file: 1 link",
        "3 to 3 s each, 250,000 bytes per second on average",
        "wrote fleet-links.csv",
        "wrote fleet.yaml",
    ]
    assert again.code == 2
    assert again.errors == ["fleet-links.csv exists; expected another --out, or --force"]
    other.succeeded()
    run.succeeded()
    assert validated.succeeded().out == "fleet.yaml: ok, 1 run\n"
    assert alone.succeeded().out.splitlines() == ["2 clients, 2 stays", "wrote p.csv"]
    two.succeeded()
    assert gap.code == 2
    assert len(gap.errors) == 1
    assert "gap.log:4: a gap of 5 s" in gap.errors[0]
    assert not (tmp_path / "gap.yaml").exists()
    assert (tmp_path / "fleet-links.csv").read_text() == (
        "link,start,end,bandwidth\nbus,0,1,250000\nbus,1,2,0\nbus,2,3,500000\n"
    )
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "complete"


def test_wrong_command_lines_write_nothing(afl_sim: Command, tmp_path: Path) -> None:
    (tmp_path / "bus.log").write_text(HSDPA)
    (tmp_path / "a.up").write_text("5\n7\n")
    (tmp_path / "a.down").write_text("5\n9\n")
    out = ("--out", "x.yaml")
    lines = {
        ("hsdpaa", "bus.log", *out): "did you mean 'hsdpa'?",
        ("hsdpa", "no.log", *out): "there is no file no.log",
        ("hsdpa", "bus.log", "--out", "x.txt"): "expected a file that ends in .yaml or .csv",
        ("hsdpa", "bus.log", "--gaps", "hole", *out): "did you mean 'hold'?",
        ("hsdpa", "bus.log", "--step", "5", *out): "--step does not suit hsdpa; it is an option of",
        ("fcc", "bus.log", "--step", "5x", *out): "--step: got '5x'",
        ("fcc", "bus.log", "--step", "0", *out): "--step: got '0'; expected a duration above 0",
        ("flash", "bus.log", *out): "looks like a bandwidth log of six columns",
        ("mahimahi", "a.up", "a.down", "--out", "x.csv"): "is one table, but there are 2",
        ("hsdpa", "bus.log", "--out", "none/x.yaml"): "cannot write none/x-links.csv: the folder",
        ("fedscale", "bus.log", "--clients", "0", *out): "--clients: got 0; expected at least 1",
        ("bandwidth", "bus.log", "--column", "time=t:ms", *out): "time=t: got the unit 'ms', which",
        ("availability", "a.up", "--column", "end=e:h", *out): "end=e: got the unit 'h', which is",
        ("devices", "bus.log", "--training-factor", "0", *out): "expected a number above 0",
    }
    results = afl_sim.batch([("import", *line) for line in lines])
    for result, (line, message) in zip(results, lines.items(), strict=True):
        assert result.code == (1 if "none/x.yaml" in line else 2), line
        assert len(result.errors) == 1, line
        assert message in result.errors[0], line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.down", "a.up", "bus.log"]
