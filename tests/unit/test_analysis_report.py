"""report.html: what it holds, and what a browser does with it."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from fake_runs import fake_run

from afl_sim.recording import load_run
from analysis.figures.timeline import choose_clients
from analysis.report import pages, write_run_report, write_study_report
from analysis.report.charts import accuracy_data, timeline_data
from analysis.report.clients import client_table, sampled
from analysis.series import update_share

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
NASTY = '</script><b>"A & B"</b>'


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
        if tag not in {"meta", "link", "br"}:
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
        "gradient-norm",
        "time-to-accuracy",
        "class-accuracy",
        "fairness",
        "heterogeneity",
        "stragglers",
        "staleness",
        "staleness-speed",
        "staleness-time",
        "network",
    ]
    assert page.count("<svg") == len(figures)
    assert len(re.findall(r"<tr><td>\d+</td>", page)) == 30


def test_a_study_links_its_runs_and_says_what_differs(study_page, study):
    for run in study:
        assert f'<a href="{run.label}/report.html">{run.label}</a>' in study_page
        assert (run.path.parent / run.label).is_dir()
    assert "95 % CI [" in study_page
    assert "differences <span>" in study_page


def test_colours_of_figures_follow_the_page(page):
    figures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--page)" in figures
    assert "var(--ink)" in figures
    assert "#333333" not in figures
    assert "#ffffff" not in figures


def test_names_cannot_break_out_of_the_page(tmp_path):
    run = fake_run(tmp_path / "a", label=NASTY, updates=10, clients=12)
    run.scenario["description"] = NASTY
    text = write_run_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    assert NASTY not in text
    assert Elements(text).open == []
    assert text.count("</script>") == 2


def test_a_timing_only_run_and_one_without_tasks_have_a_page(tmp_path):
    run = fake_run(tmp_path / "a", training=False, updates=10, clients=12)
    text = write_run_report(run).read_text(encoding="utf-8")
    assert "did not train" in text
    assert "no evaluations (timing only)" in text
    assert accuracy_data([run]) is None


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
    lines = accuracy_data(runs)["lines"]
    assert len({(line["color"], line["dash"]) for line in lines}) == 10
    keys = pages._accuracy({"lines": lines})
    assert all(f">s{n}</span>" in keys for n in range(10))


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
    monkeypatch.setattr("analysis.report.charts.MOST_TASKS", 10)
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
    monkeypatch.setattr("analysis.report.clients.MOST", 10)
    some = sampled(table)
    assert 5 <= len(some) <= 10
    assert table["compute"].idxmin() in some.index
    assert some.index.is_monotonic_increasing


# What is put into a copy of the page: errors are kept, and what was done is written to its end.
CATCH = """<script>
window.caught = [];
addEventListener("error", (event) => caught.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => caught.push(event.blockedURI));
console.error = (...words) => caught.push(words.join(" "));
</script>"""
ACT = """<script>
const told = {};
const column = (table, place) =>
  [...table.tBodies[0].rows]
    .map((row) => row.cells[place])
    .map((cell) => cell.dataset.value ?? cell.textContent);
const table = document.querySelector("table.sortable");
const heads = [...table.tHead.rows[0].cells];
const place = heads.findIndex((head) => head.textContent.startsWith(SORT));
heads[place].click();
told.up = column(table, place);
told.mark = heads[place].getAttribute("aria-sort");
heads[place].click();
told.down = column(table, place);
told.charts = {};
for (const box of document.querySelectorAll(".chart")) {
  const svg = box.querySelector("svg");
  const span = () => [Number(svg.dataset.low), Number(svg.dataset.high)];
  const edges = svg.getBoundingClientRect();
  const chart = { whole: span(), shapes: svg.querySelectorAll("path, polyline").length };
  const middle = { clientX: edges.left + edges.width / 2, bubbles: true, cancelable: true };
  svg.dispatchEvent(new WheelEvent("wheel", { ...middle, deltaY: -100 }));
  chart.wheel = span();
  svg.dispatchEvent(new PointerEvent("pointerdown", { ...middle }));
  svg.dispatchEvent(new PointerEvent("pointermove", { ...middle, clientX: middle.clientX + 1e6 }));
  svg.dispatchEvent(new PointerEvent("pointerup", { ...middle }));
  chart.dragged = span();
  box.querySelector("[data-zoom=in]").click();
  chart.button = span();
  box.querySelector("[data-zoom=all]").click();
  chart.again = span();
  told.charts[box.id] = chart;
}
const page = () => getComputedStyle(document.body).backgroundColor;
told.colors = [page()];
document.getElementById("theme").click();
told.colors.push(page());
told.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
told.errors = caught;
const pre = document.createElement("pre");
pre.id = "told";
pre.textContent = JSON.stringify(told);
document.body.append(pre);
</script>"""


def seen_by_browser(text, folder, sort):
    folder.mkdir()
    path = folder / "page.html"
    text = text.replace("<head>", "<head>" + CATCH, 1)
    act = ACT.replace("SORT", json.dumps(sort))
    path.write_text(text.replace("</body>", act + "</body>"), encoding="utf-8")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1200,900",
        "--enable-logging=stderr",
        "--virtual-time-budget=2000",
        "--dump-dom",
        path.as_uri(),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in ended.stderr
    (told,) = re.findall(r'<pre id="told">(.*?)</pre>', ended.stdout, re.DOTALL)
    return json.loads(html.unescape(told))


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize(
    ("which", "sort", "charts"),
    [
        ("page", "compute per task", ["accuracy", "timeline"]),
        ("study_page", "setting", ["accuracy"]),
    ],
)
def test_in_a_browser_the_table_sorts_and_the_charts_zoom(which, sort, charts, request, tmp_path):
    told = seen_by_browser(request.getfixturevalue(which), tmp_path / "browser", sort)
    assert told["errors"] == []
    assert told["requests"] == []
    for name, backwards in (("up", False), ("down", True)):
        values = [float(v) if which == "page" else v for v in told[name] if v != ""]
        assert len(values) >= 2
        assert values == sorted(values, reverse=backwards)
        assert set(told[name][len(values) :]) <= {""}  # the unknown come last either way
    assert told["mark"] == "ascending"
    assert list(told["charts"]) == charts
    for chart in told["charts"].values():
        low, high = chart["whole"]
        assert low == 0 < high
        assert chart["shapes"] > 0
        inner = chart["wheel"]
        assert low < inner[0] < inner[1] < high
        assert inner[1] - inner[0] == pytest.approx(0.8 * (high - low))
        assert chart["dragged"][0] == 0  # pulled to the right as far as it goes
        assert chart["dragged"][1] == pytest.approx(0.8 * high)
        assert chart["button"][1] - chart["button"][0] == pytest.approx(0.4 * high)
        assert chart["again"] == [low, high]
    light, dark = told["colors"]
    assert light != dark
