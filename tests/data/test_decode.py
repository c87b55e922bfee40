from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from layouts import picture
from PIL import Image

from bakeoff.data.decode import Fit, is_dark_16_bit, load_image, open_image
from bakeoff.errors import DataError


def packed(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def test_an_image_of_the_right_size_keeps_its_very_pixels() -> None:
    pixels_HWC = picture(1, 0, 16, 16)
    assert np.array_equal(load_image(packed(Image.fromarray(pixels_HWC)), 16, "crop"), pixels_HWC)


def test_a_path_and_its_bytes_give_the_same_pixels(tmp_path: Path) -> None:
    content = packed(Image.fromarray(picture(2, 0, 9, 7)))
    (tmp_path / "a.png").write_bytes(content)
    from_path = load_image(tmp_path / "a.png", 8, "pad")
    assert np.array_equal(from_path, load_image(content, 8, "pad"))
    assert np.array_equal(from_path, load_image(io.BytesIO(content), 8, "pad"))


def test_crop_keeps_the_central_square() -> None:
    pixels_HWC = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels_HWC[:, 2:6] = picture(0, 5, 4, 4)
    cropped_HWC = load_image(packed(Image.fromarray(pixels_HWC)), 4, "crop")
    assert np.array_equal(cropped_HWC, pixels_HWC[:, 2:6])


def test_pad_keeps_everything_between_black_bars() -> None:
    pixels_HWC = picture(3, 0, 8, 4)
    padded_HWC = load_image(packed(Image.fromarray(pixels_HWC)), 8, "pad")
    assert np.array_equal(padded_HWC[:, 2:6], pixels_HWC)
    assert padded_HWC[:, :2].max() == padded_HWC[:, 6:].max() == 0


def test_stretch_fills_the_square() -> None:
    pixels_HWC = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels_HWC[:, 4:] = 200  # right half
    stretched_HWC = load_image(packed(Image.fromarray(pixels_HWC)), 4, "stretch")
    assert stretched_HWC[:, 0].max() < 30
    assert stretched_HWC[:, 3].min() > 170


def test_shrinking_is_antialiased() -> None:
    # A board of single black and white pixels is grey from afar; without antialiasing it is black or white.
    board_HW = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small_HWC = load_image(packed(Image.fromarray(board_HW)), 8, "crop")
    assert small_HWC.min() >= 115
    assert small_HWC.max() <= 140


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(picture(1, 0, 6, 10))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = packed(image, exif=exif.tobytes())
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).resize((6, 6), 3))
    assert np.array_equal(load_image(content, 6, "stretch"), expected)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (77, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 100, (100, 100, 100)),
    ],
)  # fmt: skip
def test_stored_modes_become_rgb_on_white(mode: str, value: object, expected: tuple[int, int, int]) -> None:
    content = packed(Image.new(mode, (5, 5), value))  # type: ignore[arg-type]  # each mode has its own values
    assert load_image(content, 5, "crop").tolist() == [[list(expected)] * 5] * 5


@pytest.mark.parametrize(
    ("mode", "value", "dark"),
    [("I;16", 4095, True), ("I;16", 4096, False), ("I", 4095, True), ("L", 3, False), ("F", 0.5, False)],
)
def test_twelve_bits_in_a_file_of_sixteen_are_dark(mode: str, value: float, dark: bool) -> None:
    image = Image.new(mode, (5, 4))
    image.putpixel((4, 3), value)  # one bright pixel is enough
    assert is_dark_16_bit(open_image(packed(image, "TIFF"))) is dark


def test_a_half_transparent_pixel_is_mixed_with_white() -> None:
    content = packed(Image.new("RGBA", (3, 3), (0, 0, 0, 51)))  # a fifth of black
    assert load_image(content, 3, "crop")[0, 0].tolist() == [204, 204, 204]


def test_a_palette_with_a_transparent_colour_lies_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 10, 0, 0, 0])
    image.putdata([0, 1])
    drawn_HWC = load_image(packed(image, transparency=1), 2, "pad")
    assert drawn_HWC[0].tolist() == [[200, 10, 10], [255, 255, 255]]


def test_cmyk_becomes_rgb() -> None:
    content = packed(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=100)
    red, green, blue = load_image(content, 8, "crop")[4, 4].tolist()
    assert red < 10
    assert min(green, blue) > 245


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 300.0], [0, 100, 255]),
        ([-1.0, np.nan, 1.0], [0, 0, 255]),
    ],
)
def test_floats_span_one_or_a_byte(values: list[float], expected: list[int]) -> None:
    row_HW = np.array([values], dtype=np.float32)
    content = packed(Image.fromarray(row_HW), "TIFF")
    assert load_image(content, 3, "pad")[1, :, 0].tolist() == expected


def test_whole_numbers_of_32_bits_span_16() -> None:
    content = packed(Image.fromarray(np.array([[0, 257 * 9, 70000]], dtype=np.int32)), "TIFF")
    assert load_image(content, 3, "pad")[1, :, 0].tolist() == [0, 9, 255]


def test_a_jpeg_is_decoded_at_full_size_before_it_is_shrunk() -> None:
    content = packed(Image.fromarray(picture(1, 0, 256, 256)), "JPEG")
    whole = Image.open(io.BytesIO(content)).convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(load_image(content, 16, "crop"), np.asarray(whole))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 1)])
def test_extreme_proportions_still_make_a_square(fit: Fit, shape: tuple[int, int]) -> None:
    assert load_image(packed(Image.fromarray(picture(0, 0, *shape))), 8, fit).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"this is a text, not an image", "not an image"),
        (packed(Image.fromarray(picture(0, 0, 64, 64)), "JPEG")[:900], "truncated"),
        (packed(Image.fromarray(picture(0, 0, 64, 64)))[:900], "unreadable"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png"],
)
def test_what_is_no_image_says_so_in_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        open_image(content)
    with pytest.raises(DataError, match=rf"a\.jpg: .*{reason}.*expected an image") as caught:
        load_image(file, 8)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.jpg: unreadable \(No such file"):
        load_image(tmp_path / "no.jpg", 8)
