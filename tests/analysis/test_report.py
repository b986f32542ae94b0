"""report.html: what it holds. What a browser does with it is in test_report_in_browser.py."""

import html
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_runs import fake_run

from afl_sim.analysis import CannotDraw, theme
from afl_sim.analysis.figures.timeline import choose_clients
from afl_sim.analysis.report import (
    charts,
    command,
    drawn,
    pages,
    write_run_report,
    write_study_report,
)
from afl_sim.analysis.report.charts import metric_data, metric_keys, timeline_data
from afl_sim.analysis.report.clients import client_table, sampled
from afl_sim.analysis.report.links import link_to
from afl_sim.analysis.series import update_share
from afl_sim.cli import results
from afl_sim.recording import Run, load_run

NASTY = "</script><!--<script>\u2028<b onclick='x'>\"A & B\"</b>"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return [
        fake_run(
            folder / f"{kind}-r{seed}",
            label=f"{kind}-r{seed}",
            strategy=kind,
            seed=seed,
            clients=30,
            updates=60,
        )
        for kind in ("fedavg", "fedbuff")
        for seed in (1, 2)
    ]


@pytest.fixture(scope="module")
def page(study):
    return write_run_report(study[2]).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def study_page(study):
    path = study[0].path.parent / "report.html"
    return write_study_report("a study", study, path).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Every element with its attributes, and whether they are well nested."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("which", ["page", "study_page"])
def test_the_page_asks_for_nothing_outside_itself(which, request):
    text = request.getfixturevalue(which)
    for tag, attributes in Elements(text).found:
        for key in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(key) or ""
            local = value.startswith(("#", "data:")) or (tag == "a" and "//" not in value)
            assert not value or local, (tag, value)
    assert "@import" not in text
    assert re.search(r"url\((?!#)", text) is None
    assert "default-src 'none'" in text


@pytest.mark.parametrize("which", ["page", "study_page"])
def test_elements_are_nested_and_ids_unique(which, request):
    elements = Elements(request.getfixturevalue(which))
    assert elements.open == []
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    names = set(ids)
    for _, attributes in elements.found:
        for value in attributes.values():
            for name in re.findall(r"url\(#([^)]+)\)", value or ""):
                assert name in names
        if (attributes.get("xlink:href") or "").startswith("#"):
            assert attributes["xlink:href"][1:] in names


def test_the_page_holds_scenario_summary_figures_and_clients(page, study):
    run = study[2]
    text = html.unescape(page)
    assert f"{100 * run.summary['final']['accuracy']:.2f}" in text
    assert "kind: fedbuff" in text
    figures = re.findall(r"<figcaption>([a-z-]+) ", page)
    assert figures == [
        "learning",
        "metrics",
        "gradient-norm",
        "time-to-accuracy",
        "class-accuracy",
        "fairness",
        "per-client",
        "heterogeneity",
        "stragglers",
        "staleness",
        "staleness-speed",
        "staleness-time",
        "network",
    ]
    assert page.count("<svg") == len(figures)
    assert len(re.findall(r"<tr><td>\d+</td>", page)) == 30


def test_a_study_links_the_pages_that_there_are_and_says_how_to_make_the_others(
    page, study, monkeypatch
):
    monkeypatch.setattr(pages, "_STUDY_FIGURES", ())
    folder = study[0].path.parent
    text = write_study_report("a study", study, folder / "some.html", folder).read_text()
    for run in study:
        linked = f'<a href="{run.label}/report.html">{run.label}</a>' in text
        assert linked == (run is study[2])
    assert "3 of 4 runs have no page of their own" in text
    assert f"afl-sim report {study[0].path}\nafl-sim report --runs {folder}</pre>" in text
    assert "95 % CI [" in text


def test_a_runs_page_links_its_studys_if_that_is_there(study, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_RUN_FIGURES", ())
    run = study[0]
    study_page = run.path.parent / "report.html"
    study_page.unlink(missing_ok=True)
    (run.path.parent / "study.json").write_text("{}")
    assert "&larr;" not in write_run_report(run, tmp_path / "a.html").read_text()
    named = write_run_report(run, run.path / "b.html", study_page).read_text()
    study_page.write_text("")
    found = write_run_report(run, run.path / "c.html").read_text()
    for text in (named, found):
        assert f'<a href="../report.html">&larr; {study_page.parent.name}</a>' in text


def test_no_name_makes_a_link_lead_elsewhere():
    page = Path("/x/report.html")
    assert link_to(Path("/x/a b/r#1?.html"), page) == "a%20b/r%231%3F.html"
    assert link_to(Path("/x/javascript:alert(1)/r"), page) == "javascript%3Aalert%281%29/r"
    assert link_to(Path("/y/r"), page) == "../y/r"
    assert link_to(Path("/x/" + os.fsdecode(b"\xff")), page) == "%FF"
    assert command("--runs", "my study") == "afl-sim report --runs 'my study'"


@pytest.mark.parametrize(("each", "made"), [(None, 0), (True, 3), (False, 0)])
def test_pages_of_very_many_runs_are_made_when_asked_for(each, made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pages, "_RUN_FIGURES", ())
    monkeypatch.setattr(pages, "_STUDY_FIGURES", ())
    monkeypatch.setattr(results, "MOST_PAGES", 2)
    folder = tmp_path / "study"
    runs = [fake_run(folder / f"r{n}", label=f"r{n}", seed=n, updates=5) for n in range(3)]
    results.write_report(folder, runs, True, each=each)
    assert len(list(folder.glob("*/report.html"))) == made
    text = (folder / "report.html").read_text()
    assert text.count("/report.html") == made
    assert (f"afl-sim report --runs {folder}" in text) == (made == 0)
    assert (f"afl-sim report --runs {folder}" in capsys.readouterr().out) == (made == 0)
    results.write_report(folder, runs[:2], True)
    assert len(list(folder.glob("*/report.html"))) == max(2, made)


@pytest.fixture
def large(tmp_path):
    """Six settings of three seeds."""
    return [
        fake_run(
            tmp_path / f"k{kind}-r{seed}",
            label=f"k{kind}-r{seed}",
            strategy=f"k{kind}",
            seed=seed,
            updates=5 + 5 * seed,
        )
        for kind in range(6)
        for seed in range(3)
    ]


def test_figures_of_a_large_study_show_a_part_and_say_which(large, monkeypatch):
    monkeypatch.setattr(drawn, "SETTINGS", 3)
    monkeypatch.setattr(drawn, "RUNS", 6)
    part = drawn.shown(large)
    assert [run.label for run in part] == ["k0-r0", "k0-r1", "k2-r0", "k2-r1", "k5-r0", "k5-r1"]
    seen = {}

    def draws(name):
        def function(runs, **options):
            seen[name] = ([run.label for run in runs], options)
            raise CannotDraw("nothing")

        return SimpleNamespace(
            name=name, function=function, per_page=None, description="", takes=frozenset()
        )

    monkeypatch.setattr(drawn, "FIGURES", {name: draws(name) for name in ("sweep", "staleness")})
    found = drawn.drawings(large, ("sweep", "staleness"), {"measured": "known"})
    assert seen["sweep"] == ([run.label for run in large], {"measured": "known"})
    assert seen["staleness"] == ([run.label for run in part], {})
    assert found.note == (
        "The figures show 3 of 6 settings, spread evenly over the study; the first 2 of up to 3 "
        "seeds of a setting. Only sweep, sweep-map and differences show all 18 runs."
    )
    assert drawn.drawings(part, (), {}).note == ""


def test_the_chart_of_a_large_study_has_a_mean_for_each_setting_that_figures_show(
    large, monkeypatch
):
    monkeypatch.setattr(charts, "SETTINGS", 3)
    monkeypatch.setattr(charts, "MOST_LINES", 8)
    found = metric_data(large)
    assert "3 of 6 settings" in found["note"]
    assert "means over the seeds" in found["note"]
    lines = [line for line in found["lines"] if line["setting"] == "k2"]
    assert [line["label"] for line in lines] == [
        "k2, mean of 3 seeds",
        "k2, mean of 2 of 3 seeds",
        "k2, mean of 1 of 3 seeds",
    ]
    assert [line.get("faint", False) for line in lines] == [False, True, True]
    colors = dict.fromkeys(line["color"] for line in found["lines"])
    assert list(colors) == list(theme.PALETTE[:3])  # as in the figures of the page
    longest = max(large[6:9], key=lambda run: run.metrics["time_us"].iloc[-1])
    assert lines[-1]["x"][-1] == longest.metrics["time_us"].iloc[-1] / 1e6
    assert lines[-1]["y"][-1] == pytest.approx(100 * longest.summary["final"]["accuracy"])


def test_a_large_study_is_measured_without_keeping_its_events(large, monkeypatch):
    monkeypatch.setattr(pages, "_STUDY_FIGURES", ())
    write_study_report("a study", large, large[0].path.parent / "report.html")
    assert not any("events" in vars(run) for run in large)


def test_a_number_that_is_missing_is_a_gap_in_the_chart(tmp_path):
    run = fake_run(tmp_path / "a", label="a", updates=5, evaluations=4)
    metrics = run.metrics.copy()
    metrics.loc[2, "accuracy"] = None
    object.__setattr__(run, "metrics", metrics)
    run.summary["status"] = "diverged"
    (line,) = metric_data([run])["lines"]
    assert [value is None for value in line["y"]] == [False, False, True, False, False]
    assert len(line["x"]) == 5
    assert line["label"] == "a (diverged)"


def test_a_figure_says_on_the_page_what_it_leaves_out(study, tmp_path):
    silent = fake_run(tmp_path / "s", label="silent", strategy="other", training=False, updates=5)
    found = drawn.drawings([study[0], silent], ["learning"])
    assert found.drawn[0].note == "without silent: no evaluations (timing only)"


def with_blocks(run, *blocks):
    scenario = {**run.scenario, "figure": list(blocks)}
    return Run(run.path, run.name, run.label, scenario, run.summary, {})


def test_the_scenarios_own_figures_come_first_and_as_it_says(study):
    blocks = (
        {"name": "accuracy", "file": "close", "x": "updates", "xlim": [5, 20], "title": "near"},
        {"name": "staleness", "settings": ["fedbuff"], "width": "84mm"},
    )
    runs = [with_blocks(run, *blocks) for run in study]
    found = drawn.drawings(runs, ("staleness", "staleness-time"))
    assert [each.name for each in found.drawn] == ["close", "staleness", "staleness-time"]
    close, staleness, _ = found.drawn
    assert close.description.startswith("Accuracy against updates aggregated, with")
    assert "updates aggregated<" in close.svg
    assert ">near<" in close.svg
    (alone,) = drawn.drawings(study[2:], ("staleness",)).drawn
    assert staleness.svg.replace("staleness-2-", "staleness-1-") == alone.svg
    assert found.lacking == []


def test_the_page_of_one_run_has_them_too_whatever_settings_they_name(study):
    run = with_blocks(study[0], {"name": "staleness", "settings": ["fedbuff"]}, {"order": ["x"]})
    found = drawn.drawings([run], ("learning",))
    assert [each.name for each in found.drawn] == ["staleness", "learning"]
    assert found.lacking == []


def test_what_cannot_be_drawn_as_a_block_says_is_told_on_the_page(study):
    wrong = [{"name": "staleness", "settings": ["fedbuf"]}, {"name": "no_such_module:draw"}]
    found = drawn.drawings([with_blocks(run, *wrong) for run in study], ())
    assert found.drawn == []
    assert found.lacking[0].startswith("staleness: settings: there is no setting 'fedbuf'")
    assert found.lacking[1].startswith("no_such_module:draw: ")
    two = [with_blocks(study[0], {"name": "staleness"}), with_blocks(study[2], {"name": "network"})]
    assert "have different `figure:` blocks" in drawn.drawings(two, ()).note
    assert (
        drawn.drawings([with_blocks(study[0], {"xlim": 5})], ())
        .lacking[0]
        .endswith(
            "figure.xlim: got 5; expected two numbers, LOW and HIGH, one of which may be left open"
        )
    )


def test_colours_of_figures_follow_the_page(page):
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--page)" in figures
    assert "var(--ink)" in figures
    assert "#333333" not in figures
    assert "#ffffff" not in figures


def test_names_cannot_break_out_of_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_RUN_FIGURES", ("learning", "staleness"))
    run = fake_run(tmp_path / "a", label=NASTY, updates=10, clients=12)
    run.scenario["description"] = NASTY
    text = write_run_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    assert NASTY not in text
    assert Elements(text).open == []
    assert text.count("</script>") == text.count("<script") == 2
    (embedded,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert not set(embedded) & set("<>&\u2028\u2029")
    assert json.loads(embedded)["metric"]["lines"][0]["label"].startswith("</script>")


def test_a_timing_only_run_and_one_without_tasks_have_a_page(tmp_path):
    run = fake_run(tmp_path / "a", training=False, updates=10, clients=12)
    text = write_run_report(run).read_text(encoding="utf-8")
    assert "did not train" in text
    assert "no evaluations (timing only)" in text
    assert metric_data([run]) is None


@pytest.mark.parametrize("failed", [False, True])
def test_a_study_has_its_page_though_a_run_of_it_has_left_no_events(failed, tmp_path):
    runs = [fake_run(tmp_path / f"r{n}", label=f"r{n}", seed=n, updates=20) for n in (1, 2)]
    for name in ("events.parquet", "metrics.parquet"):
        (runs[1].path / name).unlink()
    if failed:
        summary = json.loads((runs[1].path / "summary.json").read_text()) | {"status": "failed"}
        (runs[1].path / "summary.json").write_text(json.dumps(summary))
    else:
        (runs[1].path / "summary.json").unlink()
    runs = [load_run(run.path) for run in runs]
    page = write_study_report("a study", runs, tmp_path / "report.html").read_text()
    assert ("failed" if failed else "unfinished") in page
    alone = write_run_report(runs[1]).read_text()
    assert "The run has left no events." in alone
    assert "No evaluations" in alone


def test_every_setting_of_the_accuracy_chart_has_its_key_and_its_look(tmp_path):
    runs = [
        fake_run(tmp_path / f"s{n}", label=f"s{n}", strategy=f"k{n}", updates=5) for n in range(10)
    ]
    data = metric_data(runs)
    assert len({(line["color"], line["dash"]) for line in data["lines"]}) == 10
    keys = metric_keys(data)
    assert [key["name"] for key in keys] == [f"s{n}" for n in range(10)]
    assert len({key["style"] for key in keys}) == 10


def test_the_timeline_holds_every_leg_of_its_clients(study):
    run = study[2]
    found = timeline_data(run)
    assert found["clients"] == choose_clients([run], 60)[::-1]
    tasks = run.tasks
    for place, client in enumerate(found["clients"]):
        mine = tasks[(tasks["client"] == client) & tasks["computed"].notna()]
        spent = (mine["computed"] - mine["downloaded"]).sum() / 1e6
        ends = found["legs"]["compute"][place]
        whole = [ends[n + 1] - ends[n] for n in range(0, len(ends), 2)]
        lost = tasks[(tasks["client"] == client) & tasks["computed"].isna()]
        if not len(lost):
            assert sum(whole) == pytest.approx(spent, abs=1e-4)
    assert [version for _, version in found["versions"]] == list(
        range(1, run.summary["versions"] + 1)
    )


def test_a_very_long_timeline_is_cut_and_says_until_when(study, monkeypatch):
    monkeypatch.setattr("afl_sim.analysis.report.charts.MOST_TASKS", 10)
    found = timeline_data(study[2])
    whole = study[2].summary["virtual_seconds"]
    assert 0 < found["end"] < whole
    assert all(time <= found["end"] for time, _ in found["versions"])


def test_the_client_table_adds_up(study):
    run = study[2]
    table = client_table(run)
    assert table["aggregated"].sum() == run.summary["updates"]["aggregated"]
    assert table["tasks"].sum() == run.summary["updates"]["dispatched"]
    assert table["share"].sum() == pytest.approx(100)
    assert (table["share"] / 100).tolist() == pytest.approx(update_share(run).tolist())
    assert table["samples"].tolist() == run.label_counts.sum(axis=1).tolist()
    updates = run.summary["updates"]
    assert table["lost"].sum() == updates["failed"] + updates["cancelled"]


def test_of_very_many_clients_some_are_listed_from_fast_to_slow(study, monkeypatch):
    table = client_table(study[2])
    monkeypatch.setattr("afl_sim.analysis.report.clients.MOST", 10)
    some = sampled(table)
    assert 5 <= len(some) <= 10
    assert table["compute"].idxmin() in some.index
    assert some.index.is_monotonic_increasing
