"""The page in Chromium, end to end, against a server as a person starts it."""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from onnx_models import colour_model, probabilities
from pictures import bomb, flat, written
from PIL import Image
from running import Running

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

RED = {"name": "red.png", "mimeType": "image/png", "buffer": flat((200, 90, 10))}
EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Visit:
    """The page as it was opened, with everything that it asked for and complained about."""

    def __init__(
        self, browser: Any, server: Running, width: int = 1280, scheme: str = "light", **context: Any
    ) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **context
        )
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(server.url)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.context.close()

    def choose(self, *files: dict[str, Any]) -> None:
        self.page.set_input_files("#file", list(files[:1]))

    def card(self, name: str) -> Any:
        return self.page.locator(f".card[data-model='{name}']")

    def bars(self, name: str) -> dict[str, str]:
        """Return the shown classes of a model with their words for how likely they are."""
        buttons = self.card(name).locator(".bars:not([hidden]) button")
        buttons.first.wait_for()
        return {
            button.locator(".class").inner_text(): button.locator(".share").inner_text()
            for button in buttons.all()
        }

    def trouble(self) -> str:
        box = self.page.locator("#problem:not([hidden])")
        box.wait_for()
        return box.inner_text()


def shares(sharpness: float) -> dict[str, str]:
    found = probabilities((200, 90, 10), sharpness)
    texts = [
        f"{100 * p:.1f} %" if 0.0005 < p < 0.9995 else "< 0.1 %" if p < 0.5 else "> 99.9 %" for p in found
    ]
    return dict(zip(("red", "green", "blue"), texts, strict=True))


def test_an_image_gets_its_classes_from_every_model_side_by_side(browser: Any, server: Running) -> None:
    with Visit(browser, server) as visit:
        assert visit.page.locator(".empty:visible").count() == 2
        visit.choose(RED)
        assert visit.bars("colours") == shares(8.0)
        assert visit.bars("sharp") == shares(20.0)
        assert visit.page.locator("#agreement").inner_text() == "Both models say red."
        visit.page.locator("#status", has_text="sharp: red, ").wait_for()
        bar = visit.card("colours").locator(".bar").first.bounding_box()
        fill = visit.card("colours").locator(".fill").first
        fill.evaluate("e => Promise.all(e.getAnimations().map(a => a.finished))")
        share = fill.bounding_box()["width"] / bar["width"]
        assert share == pytest.approx(probabilities((200, 90, 10))[0], abs=0.01)
        assert visit.page.locator("#preview").evaluate("e => e.naturalWidth") == 24
        assert visit.complaints == []
        assert all(url.startswith((server.url, "blob:", "data:")) for url in visit.requests)


def test_a_class_shows_the_parts_that_it_stands_on_from_the_keyboard(browser: Any, server: Running) -> None:
    image = Image.new("RGB", (56, 56))
    image.paste((255, 0, 0), (36, 4, 52, 20))  # above, on the right
    file = {"name": "corner.png", "mimeType": "image/png", "buffer": written(image, "PNG")}
    with Visit(browser, server) as visit:
        visit.choose(file)
        visit.bars("colours")
        button = visit.card("colours").locator("[data-label='n0']")
        button.focus()
        visit.page.keyboard.press("Enter")
        visit.card("colours").locator(".heat:not([hidden])").wait_for()
        words = visit.card("colours").locator(".heat figcaption").inner_text()
        assert re.match(
            r"Covered at the top right, the image is \d+\.\d points less likely red\. Orange:", words
        )
        assert button.get_attribute("aria-pressed") == "true"
        assert "at the top right" in visit.card("colours").locator("canvas").get_attribute("aria-label")
        assert "at the top right" in visit.page.locator("#status").inner_text()
        warmth = (
            "(e, [x, y]) => { const p = e.getContext('2d').getImageData(x, y, 1, 1).data;"
            " return p[0] - p[2]; }"
        )
        canvas = visit.card("colours").locator("canvas")
        assert canvas.evaluate(warmth, [264, 72]) > 60 > canvas.evaluate(warmth, [40, 300]) + 40
        visit.card("colours").locator("[data-label='n1']").click()
        visit.card("colours").locator("figcaption", has_text="green").wait_for()
        assert button.get_attribute("aria-pressed") == "false"
        assert [words for words in visit.complaints if "getImageData" not in words] == []  # this test's


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "cut.png",
            flat((9, 9, 9))[:60],
            "This image is damaged or incomplete, so it cannot be read. (cut.png: ",
        ),
        ("notes.png", b"dear diary", "This is not an image that can be read here. (notes.png: "),
        ("large.png", b"x" * 100_001, "This file is too large: it has 100,001 bytes, at most 100,000 bytes"),
        ("bomb.png", bomb(50_000, 50_000), "This image has too many pixels. (bomb.png: got 2,500,000,000"),
        ("empty.png", b"", "This file is empty."),
    ],
)
def test_a_file_that_is_refused_says_why_and_the_next_one_works(
    browser: Any, server: Running, name: str, content: bytes, words: str
) -> None:
    with Visit(browser, server) as visit:
        visit.choose({"name": name, "mimeType": "image/png", "buffer": content})
        assert visit.trouble().startswith(words)
        assert visit.page.locator(".bars:visible").count() == 0
        visit.choose(RED)
        assert visit.bars("colours") == shares(8.0)
        assert visit.page.locator("#problem").is_hidden()


DROP = """
([kind, name, data]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const more = kind === "paste" ? { clipboardData: transfer } : { dataTransfer: transfer };
  const event = kind === "paste" ? new ClipboardEvent(kind, { bubbles: true, ...more }) : new DragEvent(kind, { bubbles: true, ...more });
  document.getElementById("drop").dispatchEvent(event);
}
"""  # noqa: E501  # a script


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_can_be_dropped_and_pasted(browser: Any, server: Running, kind: str) -> None:
    with Visit(browser, server) as visit:
        visit.page.evaluate(DROP, [kind, "in.png", base64.b64encode(RED["buffer"]).decode()])
        assert visit.bars("colours") == shares(8.0)
        assert visit.page.locator("#drop-words").inner_text() == "in.png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390, 320])
def test_the_page_fits_and_axe_finds_nothing_serious(
    browser: Any, server: Running, width: int, scheme: str
) -> None:
    # Axe is put into the page as a script, which the page's own policy would refuse.
    with Visit(browser, server, width, scheme, bypass_csp=True) as visit:
        for state in ("empty", "trouble", "answered"):
            if state == "trouble":
                visit.choose({**RED, "buffer": b"no image"})
                visit.trouble()
            if state == "answered":
                visit.choose(RED)
                visit.bars("sharp")
                visit.card("colours").locator(".bars button").first.click()
                visit.card("colours").locator(".heat:not([hidden])").wait_for()
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.Axe().run(visit.page).response
            serious = [
                (state, violation["id"], [node["target"] for node in violation["nodes"][:3]])
                for violation in found["violations"]
                if violation["impact"] in ("serious", "critical")
            ]
            assert serious == []
            assert len(found["passes"]) > 20


def test_a_phone_is_offered_its_camera(browser: Any, server: Running) -> None:
    with Visit(browser, server, 390, has_touch=True, is_mobile=True) as visit:
        camera = visit.page.locator("#camera")
        assert camera.get_attribute("capture") == "environment"
        assert visit.page.locator("label[for='camera']").is_visible()
        visit.page.set_input_files("#camera", [RED])
        assert visit.bars("colours") == shares(8.0)


def test_everything_that_can_be_used_is_reached_with_the_tab_key_and_shows_it(
    browser: Any, server: Running
) -> None:
    with Visit(browser, server) as visit:
        visit.choose(RED)
        visit.bars("sharp")
        usable = "a[href], button, input"
        count = "all => all.filter(e => e.checkVisibility()).length"
        expected = visit.page.locator(usable).evaluate_all(count)
        visit.page.evaluate("document.activeElement.blur()")
        shown = []
        for _ in range(expected):
            visit.page.keyboard.press("Tab")
            shown.append(visit.page.evaluate(
                "(() => { const e = document.activeElement; e.dataset.reached = '1';"
                " const s = getComputedStyle(e.matches('.pick input') ? e.nextElementSibling : e);"
                " return [e.tagName, s.outlineStyle, s.outlineWidth]; })()"
            ))  # fmt: skip
        assert visit.page.locator("[data-reached]").count() == expected > 6
        assert [found for found in shown if found[1] == "none" or found[2] == "0px"] == []


def test_a_token_is_asked_for_kept_for_the_visit_and_never_shown(browser: Any, models: list[Path]) -> None:
    with (
        Running(models[0], "--threads", "1", "--token", "sesame") as server,
        Visit(browser, server) as visit,
    ):
        visit.choose(RED)
        assert visit.trouble().startswith("The token is missing or wrong.")
        visit.page.locator("#token").fill("sesame")
        visit.page.locator("#token").press("Enter")
        assert visit.bars("colours") == shares(8.0)
        assert visit.page.locator("#token").get_attribute("type") == "password"
        assert "sesame" not in visit.page.content()
        visit.page.reload()
        assert visit.page.locator("#token").input_value() == "sesame"


def test_names_that_hold_markup_are_words_and_nothing_else(browser: Any, tmp_path: Path) -> None:
    centres = {EVIL: (1.0, 0.0, 0.0), "other": (0.0, 0.0, 1.0)}
    model = colour_model(tmp_path / "evil.onnx", name=EVIL, task=EVIL, centres=centres)
    with Running(model, "--threads", "1") as server, Visit(browser, server) as visit:
        visit.choose(RED)
        assert visit.page.locator(".bars .class").first.inner_text() == EVIL
        visit.page.locator(".bars button").first.click()
        visit.page.locator(".heat:not([hidden])").wait_for()
        assert visit.page.locator("h1").inner_text() == EVIL
        assert visit.page.locator("img[src=x]").count() == 0
        assert visit.complaints == []


def test_a_server_that_is_gone_is_said(browser: Any, models: list[Path]) -> None:
    with Running(models[0], "--threads", "1") as server, Visit(browser, server) as visit:
        server.stop()
        visit.choose(RED)
        assert visit.trouble() == "The server cannot be reached. Is it still running?"


def test_the_policy_lets_nothing_in_but_the_page_itself(server: Running) -> None:
    answer = server.get("/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["style-src"])
    assert not re.search(rb"""(src|href)=["']?(https?:)?//""", answer.body)


def test_colours_and_type_are_those_of_a_studys_report() -> None:
    """Neither layer may import the other, so the palette is written down twice."""
    own, report = (
        (resources.files(package) / "templates" / name).read_text(encoding="utf-8")
        for package, name in (("bakeoff.deploy.serving", "serve.css"), ("bakeoff.report", "page.css"))
    )
    names = re.compile(r"(--[a-z0-9-]+): ([^;]+);")
    light, dark = (names.findall(part) for part in own.split("prefers-color-scheme: dark", 1))
    theirs = report.split("@media print", 1)[0].split("prefers-color-scheme: dark", 1)
    mine = {"--on-accent", "--track"}  # which the report has no use for
    for found, known in ((light, dict(names.findall(theirs[0]))), (dark, dict(names.findall(theirs[1])))):
        assert {name: value for name, value in found if name not in mine} == {
            name: known[name] for name, _ in found if name not in mine
        }
    assert len(light) > 10
