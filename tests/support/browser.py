"""A headless Chromium for tests of pages: real wheels and fingers, through DevTools."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium: on Debian, apt-get install chromium")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page on a screen, with what went wrong in it and what it asked of a network."""

    def __init__(
        self, browser: Any, path: Path, phone: bool = False, scheme: str = "light"
    ) -> None:
        size = {"width": 390, "height": 844} if phone else {"width": 1200, "height": 900}
        self.context = browser.new_context(
            viewport=size, has_touch=phone, is_mobile=phone, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.devtools = self.context.new_cdp_session(self.page)

    def js(self, code: str, argument: Any = None) -> Any:
        """The value of a JavaScript expression, once what was begun is drawn."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return self.page.evaluate(code, argument)

    def view(self, chart: str) -> tuple[float, float]:
        """The span of virtual time that a chart shows, in seconds."""
        svg = self.page.locator(f"#{chart} > svg")
        self.js("0")
        return float(svg.get_attribute("data-low")), float(svg.get_attribute("data-high"))

    def middle(self, chart: str) -> tuple[float, float]:
        """The middle of that part of a chart that is on the screen, which is scrolled to it."""
        svg = self.page.locator(f"#{chart} > svg")
        svg.evaluate("node => node.scrollIntoView({block: 'center', behavior: 'instant'})")
        box = svg.bounding_box()
        height = self.page.viewport_size["height"]
        top, bottom = max(0, box["y"]), min(height, box["y"] + box["height"])
        return box["x"] + box["width"] / 2, (top + bottom) / 2

    def scrolled(self) -> float:
        """How far the page is scrolled, once it stands still, in pixels."""
        return self.page.evaluate(
            """async () => {
              for (let last = -1, still = 0; still < 4; last = scrollY) {
                still = scrollY === last ? still + 1 : 0;
                await new Promise(done => setTimeout(done, 40));
              }
              return scrollY;
            }"""
        )

    def swipe(self, *fingers: tuple[tuple[float, float], tuple[float, float]]) -> None:
        """Put down fingers, move each from its first place to its second, and lift them."""
        steps = 12

        def touch(kind: str, share: float) -> None:
            points = [
                {"x": a[0] + share * (b[0] - a[0]), "y": a[1] + share * (b[1] - a[1]), "id": number}
                for number, (a, b) in enumerate(fingers)
            ]
            self.devtools.send(
                "Input.dispatchTouchEvent",
                {"type": kind, "touchPoints": [] if kind == "touchEnd" else points},
            )

        touch("touchStart", 0)
        for step in range(1, steps + 1):
            touch("touchMove", step / steps)
            self.page.wait_for_timeout(16)
        touch("touchEnd", 1)

    def close(self) -> None:
        """Close it."""
        self.context.close()
