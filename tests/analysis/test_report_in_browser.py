"""report.html in a browser: who reads it scrolls, zooms, sorts, finds and follows links."""

import itertools

import pytest
from browser import Tab, launched
from fake_runs import fake_run

from afl_sim.analysis.report import write_run_report, write_study_report

NASTY = "</script><!--<script>window.caught=1</script><img src=x onerror='window.caught=1'>"


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study with its page and those of its runs, of which one has a name that is no name."""
    folder = tmp_path_factory.mktemp("study")
    labels = ("a-r1", "a-r2", NASTY)
    runs = [
        fake_run(folder / f"run{n}", label=label, seed=n, updates=300, clients=30, tau=30.0)
        for n, label in enumerate(labels)
    ]
    (folder / "study.json").write_text("{}")
    runs[2].scenario["description"] = NASTY
    with pytest.MonkeyPatch.context() as patch:  # few figures do here, and all take long
        patch.setattr("afl_sim.analysis.report.pages._RUN_FIGURES", ("stragglers", "staleness"))
        patch.setattr("afl_sim.analysis.report.pages._STUDY_FIGURES", ("learning", "staleness"))
        for run in runs[::2]:
            write_run_report(run, study=folder / "report.html")
        write_study_report("a study", runs, folder / "report.html")
    return folder


@pytest.fixture
def open_tab(browser, folder):
    """Opens a page of the study; that nothing went wrong in it is seen at the end."""
    tabs = []

    def opened(name="run0/report.html", **screen):
        tabs.append(Tab(browser, folder / name, **screen))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.close()
        assert tab.wrong == []
        assert all(url.startswith("file:") for url in tab.asked)


PAGES = {"run0/report.html": ["metric", "timeline"], "report.html": ["metric"]}


@pytest.mark.parametrize("name", PAGES)
def test_the_wheel_alone_scrolls_from_top_to_bottom_wherever_the_pointer_is(open_tab, name):
    tab = open_tab(name)
    length = tab.js("document.documentElement.scrollHeight - innerHeight")
    assert length > 1500
    tab.page.mouse.move(600, 450)
    ticks = int(length / 120) + 2
    for _ in range(ticks):
        tab.page.mouse.wheel(0, 120)
    assert tab.scrolled() >= length - 1
    for chart in PAGES[name]:
        assert tab.view(chart)[0] == 0


def test_fourteen_ticks_over_the_timeline_move_the_page_by_fourteen_ticks(open_tab):
    tab = open_tab()
    whole = tab.view("timeline")
    tab.page.mouse.move(*tab.middle("timeline"))
    before = tab.scrolled()
    for _ in range(14):
        tab.page.mouse.wheel(0, 100)
    assert tab.scrolled() == pytest.approx(before + 1400, abs=2)
    assert tab.view("timeline") == whole


@pytest.mark.parametrize("chart", ["metric", "timeline"])
def test_ctrl_and_wheel_zoom_about_the_pointer_and_leave_the_page_alone(open_tab, chart):
    tab = open_tab()
    low, high = tab.view(chart)
    assert low == 0 < high
    tab.page.mouse.move(*tab.middle(chart))
    before = tab.scrolled()
    tab.page.keyboard.down("Control")
    tab.page.mouse.wheel(0, -100)
    inner = tab.view(chart)
    tab.page.mouse.wheel(0, 100)
    again = tab.view(chart)
    tab.page.keyboard.up("Control")
    assert low < inner[0] < inner[1] < high
    assert inner[1] - inner[0] == pytest.approx(0.8 * high)
    assert again == pytest.approx((low, high))
    assert tab.scrolled() == before
    assert tab.js("[visualViewport.scale, devicePixelRatio]") == [1, 1]


@pytest.mark.parametrize("chart", ["metric", "timeline"])
def test_buttons_keys_and_dragging_move_the_view(open_tab, chart):
    tab = open_tab()
    _, high = tab.view(chart)
    x, y = tab.middle(chart)

    def press(name):
        return tab.page.locator(f"#{chart} [data-zoom={name}]").click()

    press("in")
    assert tab.view(chart) == pytest.approx((high / 4, 3 * high / 4))
    x, y = tab.middle(chart)
    tab.page.mouse.move(x, y)
    tab.page.mouse.down()
    tab.page.mouse.move(x + 300, y, steps=5)
    moved = tab.view(chart)
    assert moved[0] < high / 4
    assert moved[1] - moved[0] == pytest.approx(high / 2)
    tab.page.mouse.move(x + 3000, y)
    tab.page.mouse.up()
    assert tab.view(chart) == pytest.approx((0, high / 2))  # as far as it goes
    tab.page.locator(f"#{chart} > svg").focus()
    tab.page.keyboard.press("ArrowRight")
    assert tab.view(chart) == pytest.approx((high / 20, 11 * high / 20))
    tab.page.keyboard.press("+")
    assert tab.view(chart)[1] - tab.view(chart)[0] == pytest.approx(high / 4)
    press("out")
    press("all")
    assert tab.view(chart) == (0, high)


@pytest.mark.parametrize("name", PAGES)
def test_a_finger_passes_everything_on_a_phone(open_tab, name):
    tab = open_tab(name, phone=True)
    assert tab.js("document.documentElement.scrollWidth <= innerWidth")
    length = tab.js("document.documentElement.scrollHeight - innerHeight")
    last = -1.0
    while (now := tab.scrolled()) > last and now < length - 1:
        last = now
        tab.swipe(((195, 700), (195, 100)))
    assert now >= length - 1
    for chart in PAGES[name]:
        assert tab.view(chart)[0] == 0


@pytest.mark.parametrize("chart", ["metric", "timeline"])
def test_two_fingers_zoom_a_chart_and_one_moves_it(open_tab, chart):
    tab = open_tab(phone=True)
    _, high = tab.view(chart)
    x, y = tab.middle(chart)
    tab.swipe(((x - 30, y), (x - 90, y)), ((x + 30, y), (x + 90, y)))
    low, end = tab.view(chart)
    assert end - low == pytest.approx(high / 3, rel=0.15)
    assert tab.js("visualViewport.scale") == pytest.approx(1)
    before = tab.scrolled()
    tab.swipe(((x, y), (x - 100, y)))
    assert tab.view(chart)[0] > low
    assert tab.scrolled() == before
    tab.swipe(((x - 90, y), (x - 20, y)), ((x + 90, y), (x + 20, y)))
    tab.page.locator(f"#{chart} [data-zoom=all]").click()
    assert tab.view(chart) == (0, high)


def tip(tab, chart):
    shown = tab.page.locator(f"#{chart} .tip")
    tab.js("0")
    return shown.inner_text().splitlines() if shown.is_visible() else None


def test_what_is_under_the_pointer_is_told(open_tab):
    tab = open_tab()
    dot = tab.page.locator("#metric circle").nth(3)
    dot.hover()
    name, value = tip(tab, "metric")
    assert name == "a-r1"
    line = tab.js("data.metric.lines[0]")
    assert value.startswith(f"{line['y'][3]:.2f} % at ")
    tab.page.mouse.move(2, 2)
    assert tip(tab, "metric") is None
    # The longest span of the first client, where its middle is on the screen.
    client, begin, end = tab.js(
        """(() => {
          const { clients, legs } = data.timeline;
          const spans = legs.compute[0];
          let best = 0;
          for (let i = 0; i < spans.length; i += 2)
            if (spans[i + 1] - spans[i] > spans[best + 1] - spans[best]) best = i;
          return [clients[0], spans[best], spans[best + 1]];
        })()"""
    )
    tab.middle("timeline")
    x, y = tab.js(
        """([begin, end]) => {
          const svg = document.querySelector("#timeline > svg");
          svg.scrollIntoView({ block: "start", behavior: "instant" });
          const box = svg.getBoundingClientRect();
          const bar = svg.querySelector("path.compute").getBoundingClientRect();
          const scale = (x) => box.left + 64 + (x / svg.dataset.high) * (box.width - 76);
          return [scale((begin + end) / 2), bar.top + bar.height / 2];
        }""",
        [begin, end],
    )
    tab.page.mouse.move(x, y)
    first, *told = tip(tab, "timeline")
    assert first == f"client {client}"
    assert any(line.startswith("compute: ") for line in told)
    versions = tab.page.locator("#timeline text.version")
    box = versions.nth(1).bounding_box()
    tab.page.mouse.move(box["x"], box["y"] + box["height"] + 4)
    (version,) = tip(tab, "timeline")
    assert version.startswith(f"version {versions.nth(1).text_content()} at ")


def test_a_tap_tells_and_a_tap_elsewhere_is_the_end_of_it(open_tab):
    tab = open_tab(phone=True)
    x, y = tab.middle("timeline")
    tab.page.touchscreen.tap(x, y)
    assert tip(tab, "timeline")[0].startswith("client ")
    tab.page.touchscreen.tap(5, 5)
    assert tip(tab, "timeline") is None


@pytest.mark.parametrize("phone", [False, True])
def test_version_labels_lie_on_nothing(open_tab, phone):
    tab = open_tab(phone=phone)
    whole = tab.view("timeline")[1]
    for _ in range(4):
        boxes = tab.js(
            """[...document.querySelectorAll("#timeline text.version")].map((node) => {
              const { left, right, top, bottom } = node.getBoundingClientRect();
              return [left, right, top, bottom];
            })"""
        )
        assert len(boxes) > 1
        for (_, right, *_), (left, *_) in itertools.pairwise(sorted(boxes)):
            assert left - right > 3
        svg = tab.js("document.querySelector('#timeline > svg').getBoundingClientRect().right")
        assert max(box[1] for box in boxes) < svg
        bars = tab.js(
            """[...document.querySelectorAll("#timeline > svg path")]
              .filter((node) => !node.classList.contains("axis"))
              .map((node) => node.getBoundingClientRect().top)"""
        )
        assert max(box[3] for box in boxes) <= min(bars) + 2  # the line of text, not its letters
        tab.page.locator("#timeline [data-zoom=in]").click()
    low, high = tab.view("timeline")
    assert high - low == pytest.approx(whole / 16)


def test_a_table_sorts_by_what_its_cells_mean(open_tab):
    tab = open_tab()
    heading = tab.page.locator("th", has_text="compute per task")
    place = heading.evaluate("node => node.cellIndex")
    rows = tab.page.locator("table.sortable tbody tr")

    def values():
        return rows.evaluate_all(
            "(rows, place) => rows.map((row) => row.cells[place].dataset.value)", place
        )

    for direction in ("ascending", "descending"):
        heading.click()
        assert heading.get_attribute("aria-sort") == direction
        known = [float(value) for value in values() if value]
        assert len(known) > 20
        assert known == sorted(known, reverse=direction == "descending")
        assert set(values()[len(known) :]) <= {""}  # the unknown come last either way


def test_a_long_table_shows_few_rows_until_asked_and_finds_some(open_tab):
    tab = open_tab()
    visible = tab.page.locator("table.sortable tbody tr:visible")
    assert visible.count() == 20
    said = tab.page.locator(".rows .note")
    assert said.inner_text() == "20 of 30 clients"
    tab.page.get_by_role("button", name="show all 30").click()
    assert visible.count() == 30
    wanted = visible.nth(7).inner_text().split()[3]
    fitting = [row for row in visible.all_inner_texts() if wanted in row]
    tab.page.get_by_role("searchbox").fill(wanted)
    assert visible.all_inner_texts() == fitting
    assert said.inner_text() == f"{len(fitting)} of {len(fitting)} that fit, of 30 clients"


@pytest.mark.parametrize("phone", [False, True])
def test_what_is_wider_than_the_screen_says_that_it_scrolls(open_tab, phone):
    tab = open_tab(phone=phone)
    found = tab.js(
        """[...document.querySelectorAll(".scroll")].map((box) => [
          box.scrollWidth > box.clientWidth + 1,
          !box.previousElementSibling.hidden,
          box.scrollHeight > box.clientHeight + 1,
        ])"""
    )
    wide, says, deep = zip(*found, strict=True)
    assert wide == says == ((True, True, True) if phone else (False, False, True))
    assert not any(deep)


def test_a_run_leads_to_its_study_and_back_and_no_link_leads_nowhere(open_tab, folder):
    tab = open_tab("run0/report.html")
    tab.page.get_by_role("link", name=folder.name).click()
    assert tab.page.locator("h1").inner_text() == "a study"
    links = tab.page.locator("td a")
    assert links.all_inner_texts() == ["a-r1", NASTY]  # the second run has no page
    assert "1 of 3 runs have no page" in tab.page.locator("main").inner_text()
    assert f"afl-sim report {folder / 'run1'}" in tab.page.locator("pre").inner_text()
    links.nth(1).click()
    assert tab.page.locator("h1").inner_text() == NASTY


def test_names_stay_names_in_every_place(open_tab):
    for name in ("run2/report.html", "report.html"):
        tab = open_tab(name)
        assert tab.js("window.caught === undefined")
        assert tab.js("document.querySelectorAll('main img, main script').length") == 0
        labels = tab.js("data.metric.lines.map((line) => line.label)")
        assert any(label.startswith(NASTY[:20]) for label in labels)  # shortened on its own page
    assert tab.page.locator("td a").nth(1).inner_text() == NASTY


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_readers_and_can_be_turned(open_tab, scheme):
    tab = open_tab(scheme=scheme)
    page = "getComputedStyle(document.body).backgroundColor"
    first = tab.js(page)
    tab.page.locator("#theme").click()
    second = tab.js(page)
    light, dark = (first, second) if scheme == "light" else (second, first)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(22, 24, 29)")
