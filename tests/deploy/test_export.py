"""A file gets its name only when it says what was recorded; that reading of the test images is noted."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import bakeoff
from bakeoff.deploy import export as export_module
from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.forms import read_program, read_weights
from bakeoff.deploy.shipped import InTorch
from bakeoff.errors import ConfigError, StudyError
from bakeoff.study.trained import load
from bakeoff.use import export


@pytest.fixture
def study(colours, tmp_path):
    """A copy to change."""
    return type(colours)(shutil.copytree(colours.path, tmp_path / "study"))


@pytest.fixture
def base_dir(colours):
    return colours.path.parent


def run_of(study, candidate="plain", seed=0):
    return study.run("colours", candidate, seed)


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_what_was_proved_is_told(exported):
    assert exported.agreement.holds
    assert exported.agreement.images == 6
    assert exported.agreement.largest < 1e-6
    assert exported.alone.holds
    assert exported.alone.images == 6
    assert exported.resizing.holds
    assert exported.resizing.largest > 0  # another resizing was tried, not the same bytes
    assert exported.size_bytes == exported.path.stat().st_size
    assert left(exported.path.parent) == ["colours.index.npz", "colours.md", "colours.onnx"]


def test_a_reading_of_the_test_images_is_noted_beside_the_record_and_not_in_it(study, base_dir, tmp_path):
    run = run_of(study)
    record, before = run.record_path.read_bytes(), run.test_readings()
    export(run.path, out=tmp_path / "x.onnx", base_dir=base_dir)
    assert run.record_path.read_bytes() == record
    *earlier, last = run.test_readings()
    assert earlier == before
    assert (last["purpose"], last["images"]) == ("export to onnx: agreement of x.onnx", "6")


@pytest.mark.parametrize("form", ["onnx", "torch-export", "safetensors"])
def test_a_file_that_says_something_else_is_not_left_behind(study, base_dir, tmp_path, form):
    run = run_of(study)
    arrays = dict(np.load(run.probabilities_path))
    arrays["test"] = arrays["test"][:, ::-1].copy()
    np.savez(run.probabilities_path, **arrays)
    out = (
        tmp_path
        / "out"
        / f"x{'.onnx' if form == 'onnx' else '.pt2' if form == 'torch-export' else '.safetensors'}"
    )
    with pytest.raises(
        StudyError, match=r"disagrees with the recorded predictions on \d of 6 .* nothing is left"
    ):
        export(run.path, form, out=out, base_dir=base_dir)
    assert left(out.parent) == []


def test_a_graph_that_resizes_otherwise_is_not_left_behind(colours, base_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "RESIZE_TOLERANCE", 0.0)
    with pytest.raises(StudyError, match="disagrees with Pillow where the graph itself resizes"):
        export(run_of(colours).path, out=tmp_path / "x.onnx", base_dir=base_dir)
    assert left(tmp_path) == []


def test_a_network_whose_bits_change_on_the_way_is_not_left_behind(colours, base_dir, tmp_path, monkeypatch):
    def other(*args, **more):
        found = read_weights(*args, **more)
        found._compute.classifier.network[-1].bias.data += 1e-6
        return found

    monkeypatch.setattr(export_module, "read_weights", other)
    with pytest.raises(StudyError, match="what was read back differs from 'plain' in its weights"):
        export(run_of(colours).path, "safetensors", out=tmp_path / "x.safetensors", base_dir=base_dir)
    assert left(tmp_path) == []


def test_answers_of_equal_weights_may_differ_by_rounding_which_is_told_and_by_no_more(
    colours, base_dir, tmp_path, monkeypatch
):
    difference = 2**-20  # that a matrix product at another place in memory may make

    def rounded(*args, **more):
        found = read_program(*args, **more)
        exact = found.score
        monkeypatch.setattr(found, "score", lambda images_NHWC: exact(images_NHWC) + np.float32(difference))
        return found

    monkeypatch.setattr(export_module, "read_program", rounded)
    found = export(run_of(colours).path, "torch-export", out=tmp_path / "x.pt2", base_dir=base_dir)
    assert not found.identical
    assert found.read_back == pytest.approx(difference, rel=0.1)
    assert "up to rounding (largest difference 9.5e-07)" in found.card.read_text()
    difference = 2**-15
    with pytest.raises(StudyError, match=r"what was read back differs from 'plain' by up to 3\.1e-05, tol"):
        export(run_of(colours).path, "torch-export", out=tmp_path / "y.pt2", base_dir=base_dir, card=False)
    assert left(tmp_path) == ["x.md", "x.pt2"]


@pytest.mark.parametrize(("form", "suffix"), [("onnx", "onnx"), ("torch-export", "pt2")])
def test_a_file_that_answers_otherwise_for_one_image_is_not_left_behind(
    colours, base_dir, tmp_path, monkeypatch, form, suffix
):
    for kind in (Bundle, InTorch):
        whole = kind.score

        def score(self, images_NHWC, whole=whole):
            found_NK = whole(self, images_NHWC)
            return found_NK if len(images_NHWC) > 1 else found_NK[:, ::-1].copy()

        monkeypatch.setattr(kind, "score", score)
    with pytest.raises(StudyError, match=r"x\.\w+ disagrees with itself, one image at a time, on \d of 6"):
        export(run_of(colours).path, form, out=tmp_path / f"x.{suffix}", base_dir=base_dir)
    assert left(tmp_path) == []


@pytest.mark.parametrize("candidate", ["plain", "smaller"])
@pytest.mark.parametrize(
    ("form", "suffix"), [("onnx", "onnx"), ("torch-export", "pt2"), ("safetensors", "safetensors")]
)
def test_every_form_is_loaded_again_by_its_name_alone(
    colours, base_dir, tmp_path, class_folders, candidate, form, suffix
):
    run = run_of(colours, candidate)
    found = export(run.path, form, out=tmp_path / f"x.{suffix}", base_dir=base_dir)
    assert found.agreement.holds
    assert found.identical == (form != "onnx")
    files = sorted(class_folders.rglob("*.png"))
    expected_NK = load(run.path, base_dir=base_dir).probabilities(files)
    again_NK = bakeoff.load(found.path, base_dir=base_dir).probabilities(files)
    np.testing.assert_allclose(again_NK, expected_NK, atol=1e-6)
    if form != "onnx":
        assert np.array_equal(again_NK, expected_NK)


def test_a_calibrated_run_ships_its_temperature(study, base_dir, tmp_path, class_folders, monkeypatch):
    monkeypatch.setattr("bakeoff.study.trained.temperature_of", lambda record: 2.0)
    run = run_of(study)
    files = sorted(class_folders.rglob("*.png"))
    raw_NK = load(run.path, base_dir=base_dir, raw=True).probabilities(files)
    expected_NK = raw_NK**0.5 / (raw_NK**0.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(load(run.path, base_dir=base_dir).probabilities(files), expected_NK, atol=1e-6)
    for form, suffix in (("onnx", "onnx"), ("torch-export", "pt2"), ("safetensors", "safetensors")):
        found = export(run.path, form, out=tmp_path / f"x.{suffix}", base_dir=base_dir)
        assert found.about.temperature == 2.0
        assert found.agreement.holds
        shipped = bakeoff.load(found.path, base_dir=base_dir)
        np.testing.assert_allclose(shipped.probabilities(files), expected_NK, atol=1e-5)
        np.testing.assert_allclose(
            bakeoff.load(found.path, base_dir=base_dir, raw=True).probabilities(files), raw_NK, atol=1e-5
        )


def test_images_that_are_not_at_hand_are_said_and_unchecked_does_without(
    study, base_dir, tmp_path, class_folders, monkeypatch
):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    lock = json.loads(study.lock_path.read_text())
    lock["study"]["task"][0]["data"] = str(tmp_path / "gone")
    study.lock_path.write_text(json.dumps(lock))
    run, out = run_of(study), tmp_path / "x.onnx"
    with pytest.raises(
        bakeoff.BakeoffError, match=r"test images are not at hand .*--data, or export with --unchecked"
    ):
        export(run.path, out=out, base_dir=base_dir)
    assert not out.exists()
    assert export(run.path, out=out, base_dir=base_dir, data=class_folders).agreement.holds
    before = run.test_readings()
    found = export(run.path, out=out, base_dir=base_dir, unchecked=True)
    assert found.agreement is None
    assert not Bundle.open(out).about.checked
    assert "has not been compared" in found.card.read_text()
    assert run.test_readings() == before


def test_other_images_than_those_that_were_scored_are_refused(study, base_dir, tmp_path, class_folders):
    other = shutil.copytree(class_folders, tmp_path / "other")
    Image.new("RGB", (12, 12)).save(other / "ant" / "0.png")
    with pytest.raises(StudyError, match=r"are not those that .* was scored on"):
        export(run_of(study).path, out=tmp_path / "x.onnx", base_dir=base_dir, data=other)


def test_a_run_whose_recorded_predictions_are_gone_is_refused(study, base_dir, tmp_path):
    run_of(study).probabilities_path.unlink()
    with pytest.raises(StudyError, match="does not hold the recorded predictions"):
        export(run_of(study).path, out=tmp_path / "x.onnx", base_dir=base_dir)


def test_a_network_that_cannot_be_traced_is_refused_in_one_line(colours, base_dir, tmp_path):
    class Untraceable(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images):
            logits = self.network(images)
            return logits * 2 if float(logits.sum()) > 0 else logits

    trained = load(run_of(colours).path, base_dir=base_dir)
    trained.model.network = Untraceable(trained.model.network)
    from bakeoff.use import _shipment

    shipment = _shipment(trained, colours, base_dir, quantized=False)
    for form, suffix in (("onnx", "onnx"), ("torch-export", "pt2")):
        with pytest.raises(ConfigError, match="'plain' cannot be traced") as caught:
            export_module.export(shipment, tmp_path / f"x.{suffix}", form, data=None)
        assert "\n" not in str(caught.value)
    assert left(tmp_path) == []


def test_the_cards_program_runs_and_prints_the_best_classes(exported, class_folders, tmp_path):
    card = exported.card.read_text()
    (program,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    shutil.copy(exported.path, tmp_path)
    Image.open(class_folders / "cat" / "3.png").save(tmp_path / "photo.jpg", quality=98, subsampling=0)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    lines = [line.split(": ") for line in done.stdout.splitlines()]
    assert sorted(name for name, _ in lines) == ["ant", "bee", "cat"]
    best = Bundle.open(exported.path).top(tmp_path / "photo.jpg")[0][0]
    assert lines[0][0] == best[0]


@pytest.mark.parametrize("card", ["x.onnx", "x.json", "x.index.npz"])
def test_a_card_in_the_place_of_the_file_or_what_lies_beside_it_is_refused(colours, base_dir, tmp_path, card):
    with pytest.raises(ConfigError, match=r"--card: got .*, expected a Markdown file such as .*x\.md"):
        export(run_of(colours).path, out=tmp_path / "x.onnx", base_dir=base_dir, card=tmp_path / card)
    assert left(tmp_path) == []


def test_an_export_replaces_an_older_one_whole(colours, base_dir, tmp_path):
    (tmp_path / "x.onnx").write_text("older")
    export(run_of(colours).path, out=tmp_path / "x.onnx", base_dir=base_dir, card=False)
    assert left(tmp_path) == ["x.onnx"]
    assert Bundle.open(tmp_path / "x.onnx").about.candidate == "plain"


@pytest.mark.parametrize("name", ["x.pt2", "x.safetensors"])
def test_damaged_files_are_refused_in_one_line(colours, base_dir, tmp_path, name):
    file = tmp_path / name
    with pytest.raises(ConfigError, match=r"[Nn]o such file"):
        bakeoff.load(file)
    file.write_bytes(b"nothing of the kind")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match=re.escape(name)) as caught:
        bakeoff.load(file)
    assert "\n" not in str(caught.value)


def test_weights_of_a_users_file_that_has_changed_are_refused(colours, base_dir, tmp_path):
    found = export(run_of(colours).path, "safetensors", out=tmp_path / "x.safetensors", base_dir=base_dir)
    (tmp_path / "net.py").write_text((base_dir / "net.py").read_text() + "\n# edited\n")
    with pytest.raises(ConfigError, match=r"net\.py:plain is not as it was"):
        bakeoff.load(found.path, base_dir=tmp_path)
