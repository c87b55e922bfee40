"""`bakeoff export` says what it wrote and what it proved."""

import pytest
import small_study
from typer.testing import CliRunner

from bakeoff.cli.export import agreement_lines, int8_lines, read_back_line
from bakeoff.cli.main import app
from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.quantize import Quantized, Speed
from bakeoff.errors import ConfigError
from bakeoff.evidence.fidelity import Fidelity


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small_study.train(tmp_path_factory.mktemp("export")).folder


@pytest.fixture(autouse=True)
def here(study, monkeypatch):
    monkeypatch.chdir(study.path.parent)


def export(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_an_export_is_told_line_by_line(study, tmp_path):
    result = export(study.path, "--candidate", "plain", "--out", tmp_path / "x.onnx", "--index")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(f"Exported: {tmp_path / 'x.onnx'} (")
    assert lines[1] == "That is plain, seed 0, of small, task digits."
    assert lines[2].startswith("Agrees with the recorded predictions of the test images: 107 images, largest")
    assert lines[3].startswith(
        "Agrees with the same images in batches, when they are computed one at a time: 48 images, largest"
    )
    assert any(line.startswith("Agrees with Pillow where the graph itself resizes: ") for line in lines)
    assert lines[-2] == f"Index: {tmp_path / 'x.index.npz'} (it ships small copies of training images)"
    assert lines[-1] == f"Model card: {tmp_path / 'x.md'}"
    assert Bundle.open(tmp_path / "x.onnx").about.candidate == "plain"


def test_a_card_can_be_elsewhere_or_nowhere(study, tmp_path):
    export(
        study.path, "--to", "safetensors", "--out", tmp_path / "a.safetensors", "--card", tmp_path / "c.md"
    )
    export(study.path, "--to", "safetensors", "--out", tmp_path / "b.safetensors", "--no-card")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.json", "a.safetensors", "b.json", "b.safetensors", "c.md",
    ]  # fmt: skip
    both = export(study.path, "--card", tmp_path / "d.md", "--no-card")
    assert isinstance(both.exception, ConfigError)


def test_an_unchecked_export_says_so(study, tmp_path):
    result = export(study.path, "--to", "torch-export", "--out", tmp_path / "x.pt2", "--unchecked")
    assert "Not compared with the recorded predictions (--unchecked)." in result.output.splitlines()
    assert read_back_line(0.0) in result.output.splitlines()


def test_bits_are_told_of_weights_and_a_difference_of_answers():
    assert read_back_line(0.0) == "Read back, it has the same weights and computes the same bits."
    assert read_back_line(6e-8) == (
        "Read back, it has the same weights, bit for bit; its answers differ by rounding (6.0e-08)."
    )


def test_images_whose_two_best_classes_are_too_close_are_counted_and_listed():
    found = Fidelity(images=90, tolerance=1e-4, largest=2.5e-6, beyond=(), changed=(), undecided=(3, 71),
                      undecided_changed=(71,))  # fmt: skip
    assert agreement_lines(found, "the record") == [
        "Agrees with the record: 90 images, largest difference of a probability 2.5e-06, tolerance 0.0001.",
        "Of 2 images the two best classes are closer than that (rows 3, 71); 1 of them turned over.",
    ]


def test_int8_is_told_with_its_test_and_its_gain():
    found = Quantized(
        what="all layers", tried=2, validation_before=0.9, validation_after=0.898,
        test_before=0.91, test_after=0.905,
        before_only=12, after_only=7, low=-0.0138, high=0.0038, p=0.3593, images=1000,
        speeds=(Speed(batch=1, before=0.004, after=0.002, ratio=2.01),), bytes_before=100, bytes_after=30,
    )  # fmt: skip
    assert int8_lines(found) == [
        "int8: all layers; chosen on validation images (89.8 % right beside 90.0 %), 2 tried.",
        "Test accuracy 90.5 % beside 91.0 %: -0.50 points, 95 % interval -1.38 points to +0.38 points, "
        "12 images only fp32 got right, 7 only int8, p = 0.359.",
        "Batch 1: 2 ms beside 4 ms, 2.01 times as fast.",
    ]
