"""Makes the pictures of this folder again: the page of `bakeoff serve` with a drawn image.

    python docs/serve/make_pictures.py

It needs what the tests need, and Chromium. The models are made by hand: they know mean colours, no fruits.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "fixtures"))

from onnx_models import colour_model  # noqa: E402  # found through the line above
from pictures import written  # noqa: E402
from running import Running  # noqa: E402

from bakeoff.records.atomic import write_arrays  # noqa: E402

FRUITS = {
    "tomato": (204, 48, 34), "orange": (228, 128, 30), "lemon": (236, 212, 60), "pear": (150, 190, 60),
    "plum": (96, 44, 110), "blueberry": (58, 82, 160), "coconut": (104, 72, 48), "peach": (240, 150, 110),
}  # fmt: skip
SHOTS = [("page-1440-light", 1440, "light"), ("page-1440-dark", 1440, "dark"),
         ("page-390-light", 390, "light"), ("page-390-dark", 390, "dark")]  # fmt: skip


def drawn(colour: tuple[int, int, int], seed: int, size: int = 480) -> Image.Image:
    """Draw a ball on a table."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), (226, 222, 214))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, size * 0.62, size, size), fill=(196, 186, 172))
    x, y = generator.uniform(0.36, 0.62) * size, generator.uniform(0.48, 0.58) * size
    radius = generator.uniform(0.22, 0.28) * size
    pen.ellipse((x - radius, y + 0.75 * radius, x + 1.2 * radius, y + 1.1 * radius), fill=(150, 142, 132))
    for k in range(40):
        share = k / 40
        shade = tuple(int(c * (0.72 + 0.28 * share) + 60 * share**4) for c in colour)
        r = radius * (1 - 0.9 * share)
        cx, cy = x - 0.35 * radius * share, y - 0.4 * radius * share
        pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=shade)
    return image.filter(ImageFilter.GaussianBlur(size / 300))


def mean_colour(image: Image.Image) -> np.ndarray:
    """Return the mean of each channel, between 0 and 1."""
    return np.asarray(image).mean(axis=(0, 1)) / 255


def with_index(model: Path) -> None:
    """Write an index of drawn images beside a model."""
    colours = enumerate(FRUITS.values())
    images = [(k, drawn(colour, 10 * k + n, 64)) for k, colour in colours for n in range(4)]
    files = [written(image, "JPEG") for _, image in images]
    embeddings = np.array([mean_colour(image) for _, image in images])
    write_arrays(model.with_suffix(".index.npz"), {
        "embeddings": (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float16),
        "labels": np.array([k for k, _ in images], np.int16),
        "keys": np.array([f"drawn/{place}.jpg" for place in range(len(images))]),
        "thumbnails": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "about": np.array(json.dumps({"identity": "0" * 16, "quantized": ""})),
    })  # fmt: skip


def main() -> None:
    """Serve two models, show them a drawn tomato, and keep what the page looks like."""
    folder = Path(tempfile.mkdtemp())
    centres = {name: tuple(mean_colour(drawn(colour, 3, 64))) for name, colour in FRUITS.items()}
    about = {"centres": centres, "size": 64, "study": "fruits", "task": "8 fruits"}
    small = colour_model(
        folder / "a.onnx", name="small cnn", sharpness=220.0, accuracy={"test": 0.842}, **about
    )
    large = colour_model(
        folder / "b.onnx", name="mobilenet", sharpness=700.0, accuracy={"test": 0.913}, **about
    )
    with_index(large)
    picture = folder / "on-the-table.png"
    drawn(FRUITS["tomato"], 5).save(picture)
    browser_path = (
        shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    )
    with Running(large, small, "--threads", "1") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for name, width, scheme in SHOTS:
            page = browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme=scheme,
                **({"has_touch": True, "is_mobile": True} if width < 500 else {}),
            )  # fmt: skip
            page.goto(server.url)
            page.set_input_files("#file", picture)
            page.locator(".bars:not([hidden])").nth(1).wait_for()
            page.locator(".card").first.locator(".bars button").first.click()
            page.locator(".heat:not([hidden])").first.wait_for()
            page.locator(".likeness:not([hidden])").first.wait_for()
            page.mouse.move(0, 0)
            page.wait_for_timeout(500)
            page.screenshot(path=HERE / f"{name}.png", full_page=True)
            shot = Image.open(HERE / f"{name}.png").convert("RGB").quantize(128, dither=Image.Dither.NONE)
            shot.save(HERE / f"{name}.png", optimize=True)
            page.close()
        browser.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
