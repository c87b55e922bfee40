"""Frozen work is paid once, and training on what it gave ends in the same weights."""

import errno
import json
import shutil

import numpy as np
import pytest
import small_study
import torch

from bakeoff.data.batches import ImageStore, TrainingBatches
from bakeoff.errors import ConfigError, ResourceError
from bakeoff.homes import cache_home
from bakeoff.models.cut import split_frozen
from bakeoff.models.keras_layers import BatchNorm2dKeras
from bakeoff.models.transfer import stack
from bakeoff.records import claim_folder
from bakeoff.spec import Augmentation
from bakeoff.study import Quiet
from bakeoff.training import features, run
from bakeoff.training.loop import Stopped

BASE = {"name": "base", "model": "net.py:dropout"}
PROBE = {"name": "probe", "from": "base", "train": "head", "head": [5, 0.5]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))


def _train(folder, *candidates, **recipe):
    return small_study.train(folder, small_study.study(candidate=[BASE, *candidates], recipe=recipe)).folder


def _files():
    return sorted((cache_home() / "features").glob("*/rows.f32"))


@pytest.mark.parametrize(
    "change", [{}, {"train_last": 1}, {"train_last": 3}, {"tap": "output"}, {"train": ["1"]}], ids=str
)
def test_training_on_features_ends_in_the_same_weights_as_training_on_images(change, tmp_path, monkeypatch):
    probe = {**PROBE, **change}
    if "train_last" in change:
        del probe["train"]
    cached = _train(tmp_path / "a", probe)
    monkeypatch.setattr(run, "keep_features", lambda *_, **__: None)
    plain = _train(tmp_path / "b", probe)
    assert cached.run("digits", "probe", 0).read().features["seconds"] > 0
    assert plain.run("digits", "probe", 0).read().features == {}
    assert small_study.results(cached) == small_study.results(plain)


FICKLE = """
import torch


class Fickle(nn.Linear):
    def forward(self, x):  # as a product of matrices may, where batches of another size have another code
        return super().forward(x) * (1 + len(x) * 1e-6)


def fickle(classes, image_size):
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), Fickle(4 * (image_size // 2) ** 2, 6), nn.ReLU(), Fickle(6, classes)),
    )
"""


@pytest.mark.parametrize("tap", ["output", "features"])
@pytest.mark.parametrize("on", ["base", "middle"])
def test_dense_layers_whose_last_bits_depend_on_the_batch_are_not_kept(tap, on, tmp_path, monkeypatch):
    middle = {"name": "middle", "from": "base", "head": [4], "train": "head", "tap": "output"}
    candidates = [{"name": "base", "model": "net.py:fickle"}, middle, {**PROBE, "from": on, "tap": tap}]

    def trained(folder):
        small_study.write(folder)
        (folder / "net.py").write_text(small_study.NET + FICKLE)
        return small_study.train(folder, small_study.study(candidate=candidates)).folder

    cached = trained(tmp_path / "a")
    monkeypatch.setattr(run, "keep_features", lambda *_, **__: None)
    plain = trained(tmp_path / "b")
    assert cached.run("digits", "probe", 0).read().features["seconds"] > 0
    assert small_study.results(cached) == small_study.results(plain)


def test_a_probe_is_fitted_behind_the_hidden_dense_layers_of_its_base(tmp_path):
    small_study.write(tmp_path)
    (tmp_path / "net.py").write_text(small_study.NET + FICKLE)
    probe = {"name": "probe", "from": "base", "probe": True}
    values = small_study.study(candidate=[{"name": "base", "model": "net.py:fickle"}, probe])
    record = small_study.train(tmp_path, values).folder.run("digits", "probe", 0).read()
    assert record.status == "finished"
    assert _files()[0].stat().st_size % (6 * 4) == 0  # the six features of the base's hidden layer


def test_the_same_frozen_work_is_not_done_twice(tmp_path):
    folder = _train(tmp_path, PROBE, {**PROBE, "name": "wide", "head": [9]})
    (file,) = _files()
    first, second = (folder.run("digits", name, 0).read() for name in ("probe", "wide"))
    assert first.features == second.features  # both are charged with it
    assert first.train_seconds > first.features["seconds"]
    parts = [row["part"] for row in folder.read_manifest("digits")]
    kept = parts.count("train") + parts.count("validation")  # test images have none
    assert 0 < kept < len(parts)
    assert file.stat().st_size == kept * 4 * 4 * 4 * 4  # maps of 4x4 of 4 channels, bytes


def test_an_interrupted_pass_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = _train(tmp_path / "a", PROBE)
    (file,) = _files()
    content, note = file.read_bytes(), json.loads(file.with_name("note.json").read_text())
    monkeypatch.setattr(features, "NOTE_SECONDS", 0.0)
    monkeypatch.setattr(features, "BATCH", 50)
    counted = []
    real = features._Pass.features

    def cut(self, images_BHWC):
        counted.append(len(images_BHWC))
        if sum(counted) > 250:
            raise KeyboardInterrupt
        return real(self, images_BHWC)

    shutil.rmtree(file.parent)
    monkeypatch.setattr(features._Pass, "features", cut)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "b", PROBE)
    partial = json.loads(file.with_name("note.json").read_text())
    assert 150 <= partial["rows"] < note["rows"]
    with file.open("ab") as opened:  # what a kill leaves behind the last note
        opened.write(b"half a row")
    counted[:] = [-10_000]
    again = _train(tmp_path / "b", PROBE)
    assert sum(counted) + 10_000 <= note["rows"] - partial["rows"] + 1  # and one image to see the shape
    assert file.read_bytes() == content
    assert json.loads(file.with_name("note.json").read_text())["seconds"] > partial["seconds"]
    assert small_study.results(again) == small_study.results(whole)


def test_a_stop_in_the_frozen_pass_loses_nothing(tmp_path, monkeypatch):
    class Impatient(Quiet):
        def on_evaluation(self, job, split, done, total):
            heard.append((split, done))
            if split == "features" and 0 < done < total:
                raise Stopped

    heard = []
    monkeypatch.setattr(features, "BATCH", 50)
    values = small_study.study(candidate=[BASE, PROBE])
    with pytest.raises(Stopped):
        small_study.train(tmp_path, values, listener=Impatient())
    (file,) = _files()
    kept = json.loads(file.with_name("note.json").read_text())["rows"]
    assert kept == [done for split, done in heard if split == "features"][-1] > 0
    content = file.read_bytes()
    small_study.train(tmp_path, values)
    assert file.read_bytes()[: len(content)] == content
    assert json.loads(file.with_name("note.json").read_text())["rows"] > kept


def test_a_full_disk_leaves_no_features(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(features.os, "fsync", full)
    with pytest.raises(ResourceError, match="disk full"):
        _train(tmp_path, PROBE)
    assert not _files()


def test_another_process_that_makes_the_same_features_is_waited_for(tmp_path, monkeypatch):
    whole = _train(tmp_path / "a", PROBE)
    (file,) = _files()
    monkeypatch.setattr(features, "WAIT_SECONDS", 0.01)
    waits = []
    holder = claim_folder(file.parent)
    holder.__enter__()

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            holder.__exit__(None, None, None)

    monkeypatch.setattr(features.time, "sleep", wait)
    again = _train(tmp_path / "b", PROBE)
    assert waits == [0.01] * 3
    assert small_study.results(again) == small_study.results(whole)


def test_views_are_kept_apart_and_named_as_a_difference(tmp_path):
    probe, recipe = {**PROBE, "views": 2}, {"epochs": 3, "augmentation": {"crop": 1, "flip": "random"}}
    folder = _train(tmp_path, probe, **recipe)
    record = folder.run("digits", "probe", 0).read()
    assert record.status == "finished"
    assert record.differences == {"views": ["new ones in every epoch", "2 an image"]}
    plain, *views = sorted(_files(), key=lambda file: file.stat().st_size)
    assert len(views) == 2
    first, second = (np.fromfile(file, dtype=np.float32) for file in views)
    assert first.shape == second.shape
    assert not np.array_equal(first, second)
    assert plain.stat().st_size < views[0].stat().st_size  # of the validation images alone


def test_views_without_any_augmentation_are_the_images_themselves(tmp_path):
    assert len(_train(tmp_path, {**PROBE, "views": 2}).run("digits", "probe", 0).read().features) == 1
    assert len(_files()) == 1


def test_views_cannot_be_mixed(tmp_path):
    with pytest.raises(ConfigError, match="views: keeps images that are shifted and mirrored"):
        _train(tmp_path, {**PROBE, "views": 2}, augmentation={"mixup": 0.2})


def test_augmented_images_are_never_taken_for_kept_features(tmp_path):
    folder = _train(tmp_path, PROBE, augmentation={"flip": "random"})
    assert folder.run("digits", "probe", 0).read().features == {}
    assert not _files()


def test_features_that_would_fill_the_disk_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "MOST_BYTES", 1000)
    assert _train(tmp_path, PROBE).run("digits", "probe", 0).read().features == {}


def test_another_source_has_features_of_its_own(tmp_path):
    _train(tmp_path / "a", PROBE)
    _train(tmp_path / "b", PROBE, batch_size=16)
    assert len(_files()) == 2


def test_a_network_is_cut_behind_the_last_layer_that_never_changes():
    base = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        BatchNorm2dKeras(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(144, 3),
    )
    network = stack(base, base_classes=3, tap="output", head=[4], classes=2)
    assert split_frozen(torch.nn.Identity(), network) is None
    network.freeze([base[0]])
    beginning, rest = split_frozen(torch.nn.Identity(), network.train())
    assert list(beginning.layers) == [base[0]]  # statistics of a norm that is not frozen move
    network.freeze([base[0], base[1]])
    beginning, rest = split_frozen(torch.nn.Identity(), network.train())
    assert list(beginning.layers) == list(base[:4])
    images_BCHW = torch.rand(2, 3, 8, 8)
    assert torch.equal(rest(beginning(images_BCHW)), network(images_BCHW))
    network.freeze(list(base))
    beginning, rest = split_frozen(torch.nn.Identity(), network.train())
    assert list(beginning.layers) == list(base[:4])  # what a dense layer computes may hang on the batch
    assert torch.equal(rest(beginning(images_BCHW)), network(images_BCHW))
    rest.eval()
    rest.train()
    assert not base[1].training
    assert network.head.training


def test_a_file_that_lost_its_end_is_made_whole_again(tmp_path):
    whole = _train(tmp_path / "a", PROBE)
    (file,) = _files()
    content = file.read_bytes()
    file.write_bytes(content[:1000])
    again = _train(tmp_path / "b", PROBE)
    assert file.read_bytes() == content
    assert small_study.results(again) == small_study.results(whole)
    file.unlink()
    _train(tmp_path / "c", PROBE)
    assert file.read_bytes() == content


def test_time_that_the_frozen_part_uses_up_is_told(tmp_path):
    values = small_study.study(candidate=[BASE, {**PROBE, "recipe": {"time": "1s"}}])
    monkey = pytest.MonkeyPatch()
    monkey.setattr(features._Pass, "make", lambda self, beat: _made(self, beat) + 5)
    try:
        record = small_study.train(tmp_path, values).records[1]
    finally:
        monkey.undo()
    assert record.status == "failed"
    assert "what is frozen or fitted took" in record.reason


_made = features._Pass.make


def test_epochs_take_views_in_turn():
    labels_N = np.arange(6)
    stores = [ImageStore(np.full((6, 2), view, np.float32), labels_N, torch.device("cpu")) for view in (0, 1)]
    batches = TrainingBatches(
        stores[0], labels_N, batch_size=3, seed=0, augmentation=Augmentation(crop=1), instead=stores
    )
    taken = [{float(b.images_BHWC.mean()) for b in batches.epoch(epoch)} for epoch in range(4)]
    assert taken == [{0.0}, {1.0}, {0.0}, {1.0}]
