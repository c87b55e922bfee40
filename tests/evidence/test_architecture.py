"""Drawings of networks: which boxes, how large, and that they are safe and well formed."""

import re
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bakeoff.evidence.architecture import MOST_BOXES, draw_architecture, draw_text, stages

SVG = "{http://www.w3.org/2000/svg}"


def _row(kind, shape, name="layer", detail="", parameters=0, multiplications=0):
    return {
        "name": name, "kind": kind, "detail": detail, "output_shape": list(shape), "parameters": parameters,
        "trainable": parameters, "multiplications": multiplications,
    }  # fmt: skip


NET = [
    _row("conv", (32, 64, 64), "conv1", "3x3", 896, 3_538_944),
    _row("activation", (32, 64, 64), "relu1"),
    _row("norm", (32, 64, 64), "norm1", parameters=128),
    _row("conv", (128, 32, 32), "conv2", "3x3, stride 2", 36_992, 37_748_736),
    _row("pool", (128, 16, 16), "pool1", "2x2, stride 2"),
    _row("flatten", (32_768,), "flatten"),
    _row("dense", (512,), "dense1", parameters=16_777_728, multiplications=16_777_216),
    _row("dense", (512,), "dense2", parameters=262_656, multiplications=262_144),
    _row("dropout", (512,), "dropout"),
    _row("dense", (10,), "output", parameters=5_130, multiplications=5_120),
]


def _fronts(svg):
    """Return (class, width, height) of each box."""
    root = ElementTree.fromstring(svg)
    return [
        (rect.get("class").split("bkf-")[-1], float(rect.get("width")), float(rect.get("height")))
        for rect in root.iter(f"{SVG}rect")
    ]


def _words(svg):
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_an_activation_is_called_what_it_is():
    (only,) = stages([_row("conv", (32, 64, 64)), _row("activation", (32, 64, 64), "act", detail="gelu")])
    assert only.marks == ("gelu",)


def test_norms_and_activations_join_the_layer_before_them():
    first = stages(NET)[0]
    assert (first.label, first.marks, first.parameters) == ("conv 3x3", ("relu", "norm"), 896 + 128)


def test_there_is_one_box_for_each_layer_that_computes_and_one_for_the_image():
    kinds = [kind for kind, _, _ in _fronts(draw_architecture(NET, image_size=64))]
    assert kinds == ["input", "conv", "conv", "pool", "dense", "dense", "dense"]


def test_height_follows_the_resolution_and_width_the_channels():
    (_, wide1, tall1), (_, wide2, tall2), (_, wide3, tall3), *_ = _fronts(draw_architecture(NET))
    assert tall1 > tall2 > tall3
    assert wide1 < wide2 == wide3


def test_each_halving_lowers_a_box_by_the_same_amount_nearly():
    rows = [_row("conv", (8, side, side)) for side in (256, 128, 64, 32)]
    heights = [tall for _, _, tall in _fronts(draw_architecture(rows))]
    steps = [a - b for a, b in pairwise(heights)]
    assert max(steps) - min(steps) < 0.3
    assert min(steps) > 5


def test_boxes_are_labelled_with_kind_stride_shape_and_parameters():
    words = _words(draw_architecture(NET, image_size=64))
    times = "\N{MULTIPLICATION SIGN}"
    shapes = (f"128@32{times}32", f"3@64{times}64", "10")
    for word in ("conv 3x3", "conv 3x3 /2", "pool 2x2", *shapes, "37 k", "17 M"):
        assert word in words


def test_equal_layers_in_a_row_share_a_box_that_counts_them():
    rows = [_row("conv", (64, 16, 16), f"conv{i}", "3x3", 100, 7) for i in range(3)]
    (stage,) = stages(rows)
    assert (stage.count, stage.parameters, stage.multiplications) == (3, 300, 21)
    assert "3\N{MULTIPLICATION SIGN} conv 3x3" in _words(draw_architecture(rows))


def test_a_very_deep_network_is_drawn_by_resolution_and_counts_every_layer():
    shapes = [(8 + i, side, side) for side in (32, 16) for i in range(40)]
    rows = [_row("conv", shape, "conv", "3x3", 10) for shape in shapes]
    rows.append(_row("dense", (10,), "output", parameters=5))
    found = stages(rows)
    assert len(rows) > MOST_BOXES
    assert [(s.kind, s.count, s.shape) for s in found] == [
        ("conv", 40, (47, 32, 32)), ("conv", 40, (47, 16, 16)), ("dense", 1, (10,)),
    ]  # fmt: skip
    assert sum(s.parameters for s in found) == 805


def test_everything_lies_inside_the_view_box():
    rows = [_row("conv", (2 ** (i % 11), 64, 64), f"c{i}") for i in range(30)]
    root = ElementTree.fromstring(draw_architecture(rows, image_size=64))
    _, _, width, height = map(float, root.get("viewBox").split())
    for rect in root.iter(f"{SVG}rect"):
        assert 0 <= float(rect.get("x")) <= width - float(rect.get("width"))
        assert 0 <= float(rect.get("y")) <= height - float(rect.get("height"))
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.get("x")) < width
        assert 0 < float(text.get("y")) < height
    for polygon in root.iter(f"{SVG}polygon"):
        numbers = [float(n) for n in re.split("[ ,]", polygon.get("points"))]
        assert min(numbers) >= 0
        assert max(numbers[::2]) <= width


def test_names_are_escaped_and_what_xml_cannot_hold_is_replaced():
    evil = "<script>alert('x')</script>&\x00\x1b"
    svg = draw_architecture([_row(evil, (3, 4, 4), evil, evil)], title=evil)
    assert "<script" not in svg
    root = ElementTree.fromstring(svg)
    assert root.find(f"{SVG}title").text.startswith("<script>alert('x')</script>&??")


def test_a_reader_who_does_not_see_it_hears_what_it_shows():
    root = ElementTree.fromstring(draw_architecture(NET, title="model7", image_size=64))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.find(f"{SVG}title").text == "model7: 2 conv, 1 pool, 3 dense"


def test_colours_of_words_and_lines_come_from_the_page():
    svg = draw_architecture(NET)
    assert "fill:currentColor" in svg
    assert "stroke:currentColor" in svg
    assert not re.search(r'(fill|stroke)="', svg)


def test_it_fetches_nothing_and_takes_the_width_of_its_place():
    svg = draw_architecture(NET)
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "width:100%" in svg


def test_equal_rows_give_equal_bytes():
    again = [dict(reversed(row.items())) for row in NET]
    assert draw_architecture(NET, image_size=64) == draw_architecture(again, image_size=64)


@pytest.mark.parametrize("rows", [[], [_row("activation", (3, 4, 4))], [_row("dense", ())]])
def test_a_table_without_layers_says_so(rows):
    assert "no layers" in _words(draw_architecture(rows))
    assert draw_text(rows) == "no layers"


def test_sequences_of_tokens_have_tokens_for_height_and_features_for_width():
    (stage,) = stages([_row("dense", (197, 192))])
    assert (stage.side, stage.channels, stage.size) == (197, 192, "192@197")


def test_rows_of_an_older_record_without_details_are_drawn():
    row = {"name": "c", "kind": "conv", "output_shape": [8, 4, 4], "parameters": 0, "multiplications": 0}
    assert "conv" in _words(draw_architecture([row]))


def test_the_drawing_in_text_has_a_line_for_each_box_and_shorter_bars_for_smaller_maps():
    lines = draw_text(NET, image_size=64).splitlines()
    assert len(lines) == 7
    bars = [len(line) - len(line.rstrip("█")) for line in lines[:4]]
    assert bars[0] == bars[1] > bars[2] > bars[3] > 0
    assert lines[1].startswith("conv 3x3 + relu + norm ")


def test_it_needs_no_torch():
    code = "import sys, bakeoff.evidence.architecture; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
