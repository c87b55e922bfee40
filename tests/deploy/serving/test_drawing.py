from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import bomb, flat, noisy, written
from PIL import Image

from bakeoff.data.decode import load_image
from bakeoff.deploy.serving.drawing import draw, opened, pixels_of
from bakeoff.deploy.serving.limits import Limits
from bakeoff.deploy.serving.refusals import Refusal
from bakeoff.deploy.serving.uploads import Upload

LIMITS = Limits(max_pixels=10_000)


def refusal(content: bytes) -> Refusal:
    with pytest.raises(Refusal) as refused:
        see(content)
    return refused.value


def see(content: bytes, size: int = 8) -> np.ndarray:
    upload = Upload("it", content)
    return draw(opened(upload, LIMITS), upload, size, "pad")


def cost(content: bytes) -> int:
    return pixels_of(opened(Upload("it", content), LIMITS))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_drawn_as_a_file_on_the_disk_is(kind: str) -> None:
    content = noisy(3, (30, 20), kind)
    assert cost(content) == 600
    np.testing.assert_array_equal(see(content, 16), load_image(content, 16, "pad"))


@pytest.mark.parametrize("size", [(50_000, 50_000), (20_000, 20_000), (10_001, 1), (1, 10_001)])
def test_a_bomb_is_refused_by_its_header_and_never_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **more: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    content = bomb(*size)
    assert len(content) < 100_000
    found = refusal(content)
    assert (found.reason, found.status) == ("too_many_pixels", 413)
    assert "expected at most 10,000" in str(found)


def test_as_many_pixels_as_the_limit_pass() -> None:
    assert cost(bomb(100, 100)) == 10_000


def test_an_image_of_16_bits_counts_fourfold_as_it_is_drawn_through_64() -> None:
    deep = written(Image.fromarray(np.zeros((51, 51), np.uint16)), "PNG")
    assert refusal(deep).reason == "too_many_pixels"
    assert cost(flat((0, 0, 0), (51, 51))) == 51 * 51


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_unreadable_wherever_it_ends(kind: str, share: float) -> None:
    content = noisy(1, (64, 48), kind)
    found = refusal(content[: max(8, int(share * len(content)))])
    assert (found.reason, found.status) == ("unreadable", 422)
    assert str(found).startswith("it: ")
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "content", [b"hello", b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 99]
)
def test_what_is_no_image_is_a_wrong_type(content: bytes) -> None:
    assert (refusal(content).reason, refusal(content).status) == ("wrong_type", 415)


def test_a_format_that_pillow_reads_but_nobody_named_is_a_wrong_type() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PPM")
    assert refusal(file.getvalue()).reason == "wrong_type"


def test_an_empty_file_is_called_empty() -> None:
    assert (refusal(b"").reason, refusal(b"").status) == ("empty", 422)


def test_no_shuffled_bytes_raise_anything_but_a_refusal() -> None:
    generator = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        sound = np.frombuffer(noisy(2, (20, 12), kind), np.uint8)
        for _ in range(60):
            broken = sound.copy()
            places = generator.integers(0, min(len(broken), 200), 3)
            broken[places] = generator.integers(0, 256, 3)
            try:
                see(broken.tobytes())
            except Refusal:
                continue
