from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from heat_maps import with_heat
from studies import make_study

import bakeoff
from bakeoff.records import StudyFolder
from bakeoff.report.write import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDED = "the page cannot be opened: expected chromium on PATH and playwright installed"

# On a person's machine the browser may be missing; in continuous integration that is a failure.
if os.environ.get("CI"):
    assert CHROMIUM is not None, NEEDED
    from axe_playwright_python import sync_playwright as axe
    from playwright import sync_api as playwright_api
else:
    playwright_api = pytest.importorskip("playwright.sync_api", reason=NEEDED)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=NEEDED)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NEEDED)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Visit:
    """A page opened from the disk, with everything that it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str, **context: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **context
        )
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        charts = self.page.locator("[data-chart]").count()
        self.page.wait_for_function(f"document.querySelectorAll('[data-drawn]').length === {charts}")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()


# What fits does not depend on colours, nor contrast on the width: each of both is seen once.
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark"), (360, "light")])
@pytest.mark.parametrize("study", ["sound", "troubled", "searched"])
def test_the_page_opens_offline_without_a_complaint_and_fits(
    browser: Any, page_of: dict[str, Path], study: str, width: int, scheme: str
) -> None:
    with Visit(browser, page_of[study], width, scheme) as visit:
        assert visit.complaints == []
        assert all(url.startswith(("file:", "data:")) for url in visit.requests)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        drawn = visit.page.locator("[data-chart] svg")
        assert drawn.count() == visit.page.locator("[data-chart]").count() > 0
        widths = drawn.evaluate_all(
            "all => all.map(e => [e.closest('.multiples') !== null, e.getBoundingClientRect().width])"
        )
        assert all(found > (140 if is_small_multiple else 200) for is_small_multiple, found in widths)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light")])
@pytest.mark.parametrize("study", ["sound", "troubled", "searched"])
def test_axe_finds_nothing_serious(
    browser: Any, page_of: dict[str, Path], study: str, width: int, scheme: str
) -> None:
    # Axe is put into the page as a script, which the page's own policy would refuse.
    with Visit(browser, page_of[study], width, scheme, bypass_csp=True) as visit:
        found = axe.Axe().run(visit.page).response
        serious = [
            (violation["id"], [node["target"] for node in violation["nodes"][:3]])
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert len(found["passes"]) > 30


def test_everything_that_can_be_used_is_reached_with_the_tab_key_and_shows_it(
    browser: Any, page_of: dict[str, Path]
) -> None:
    with Visit(browser, page_of["sound"], 1440, "light") as visit:
        usable = "a[href], button, summary, [tabindex='0']"
        expected = visit.page.locator(usable).evaluate_all(
            "all => all.filter(e => e.checkVisibility()).length"
        )
        seen = []
        for _ in range(expected):
            visit.page.keyboard.press("Tab")
            seen.append(visit.page.evaluate(
                "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " e.dataset.reached = '1'; return [e.tagName, s.outlineStyle, s.outlineWidth]; })()"
            ))  # fmt: skip
        assert visit.page.locator("[data-reached]").count() == expected > 5
        assert [found for found in seen if found[1] == "none" or found[2] == "0px"] == []


def test_charts_follow_the_colours_of_light_and_dark(browser: Any, page_of: dict[str, Path]) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with Visit(browser, page_of["sound"], 1280, scheme) as visit:
            paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
            axis = visit.page.locator("[data-chart] svg .mark-text text").first
            seen[scheme] = (paper, axis.evaluate("e => getComputedStyle(e).fill"))
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]


def test_a_candidate_is_lit_from_the_keyboard(browser: Any, page_of: dict[str, Path]) -> None:
    with Visit(browser, page_of["sound"], 1280, "light") as visit:
        button = visit.page.locator("[data-key] button").first
        lines = visit.page.locator("[data-chart='task-1-validation-loss'] svg .mark-line path")
        before = lines.evaluate_all("all => all.map(e => getComputedStyle(e).opacity)")
        button.focus()
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_timeout(200)
        after = lines.evaluate_all("all => all.map(e => getComputedStyle(e).opacity)")
        assert button.get_attribute("aria-pressed") == "true"
        assert len(set(before)) == 1
        assert len(set(after)) == 2
        visit.page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "false"


@pytest.fixture(scope="module")
def comparisons(
    sound: StudyFolder, troubled: StudyFolder, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """The pages that compare two candidates and two studies."""
    folder = tmp_path_factory.mktemp("comparisons")
    pair = bakeoff.compare(sound.path, "model4", "model1", task="5 classes")
    studies = bakeoff.compare(sound.path, troubled.path)
    return [pair.write(folder / "pair.html"), studies.write(folder / "studies.html")]


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light")])
def test_the_pages_of_comparison_open_offline_without_a_complaint_and_fit(
    browser: Any, comparisons: list[Path], width: int, scheme: str
) -> None:
    for page in comparisons:
        with Visit(browser, page, width, scheme) as visit:
            assert visit.complaints == []
            assert visit.requests == [page.as_uri()]
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def test_heat_maps_scroll_in_their_own_box_and_their_images_stay(browser: Any, tmp_path: Path) -> None:
    folder = make_study(tmp_path, seeds=[0])
    with_heat(folder, "5 classes")
    path = write_report(folder)
    with Visit(browser, path, 390, "dark") as visit:
        assert visit.complaints == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
        box, image = visit.page.locator(".scroll.heat"), visit.page.locator(".heat tbody th img").first
        assert box.evaluate("e => e.scrollWidth > e.clientWidth")
        last = visit.page.locator(".heat tbody td img").nth(2)
        before = (image.bounding_box()["x"], last.bounding_box()["x"])
        box.evaluate("e => { e.scrollLeft = 60 }")
        after = (image.bounding_box()["x"], last.bounding_box()["x"])
        assert after[0] == before[0]
        assert after[1] < before[1] - 10
        sizes = visit.page.locator(".heat img").evaluate_all(
            "all => all.map(e => [e.naturalWidth, e.naturalHeight])"
        )
        assert len(sizes) == 12 * 4
        assert all(size == [64, 64] for size in sizes)  # the browser could read every one
