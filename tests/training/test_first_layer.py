"""A network whose first layer is set by training images: from the first step to the stored weights."""

from dataclasses import replace

import pytest
import torch
from jobs import Ear, course_of, make_job, train
from safetensors.torch import load_file

from bakeoff import rng
from bakeoff.data.batches import ImageStore
from bakeoff.models.macro import code
from bakeoff.models.whitening import Whitening
from bakeoff.spec import digest
from bakeoff.spec.macro import Macro, MacroStage
from bakeoff.training import run
from bakeoff.training.loop import Stopped
from bakeoff.training.run import classifier_of

WHITENED = Macro(
    whiten=2, stem_width=4, stages=(MacroStage(width=6, down="pool"),), identity_start=True,
    zero_init_last=False,
)  # fmt: skip


def whitened_job(base_dir, **settings):
    job = make_job(base_dir, **settings)
    return replace(job, architecture=WHITENED, identity=digest([job.identity, "whitened"]))


def expected_layer(job) -> Whitening:
    """Set a layer by the training images in one piece, as the network sees them."""
    drawn = rng.generator(job.seed, "first layer").permutation(job.data.train)
    model = classifier_of(job)
    layer = Whitening(2)
    store = ImageStore(job.data.images_NHWC, job.data.labels_N, torch.device("cpu"))
    layer.set_by([model.preprocess(store.take(drawn)[0])])
    return layer


def test_the_stored_filters_are_those_of_the_training_images_and_never_moved(tmp_path):
    job = whitened_job(tmp_path)
    record, folder = train(job, tmp_path / "run")
    weights = load_file(folder.weights_path)
    assert record.status == "finished"
    torch.testing.assert_close(weights["network.whiten.weight"], expected_layer(job).weight)
    assert not torch.equal(weights["network.whiten.bias"], expected_layer(job).bias)
    fixed, statistics = 24 * 12, 2 * (4 + 3 * 6)
    assert record.trainable == record.parameters - fixed - statistics


def test_the_time_of_it_is_charged_to_the_training(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "show_first", lambda *_: 5000.0)
    record, _ = train(whitened_job(tmp_path), tmp_path / "run")
    assert record.train_seconds > 5000


@pytest.mark.parametrize("stop", [1, 5])
def test_a_stopped_run_ends_in_the_same_weights(stop, tmp_path):
    job = whitened_job(tmp_path, ema=0.9)
    whole, folder = train(job, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(job, tmp_path / "stopped", Ear({stop}))
    resumed, again = train(job, tmp_path / "stopped")
    one, other = load_file(folder.weights_path), load_file(again.weights_path)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert course_of(whole.history) == course_of(resumed.history)


def test_a_users_own_first_layer_is_set_too(tmp_path):
    described = whitened_job(tmp_path)
    (tmp_path / "pasted.py").write_text(code(WHITENED), encoding="utf-8")
    pasted = replace(described, architecture="pasted.py:build", identity=digest("pasted"))
    (_, ours), (_, theirs) = train(described, tmp_path / "ours"), train(pasted, tmp_path / "theirs")
    one, other = load_file(ours.weights_path), load_file(theirs.weights_path)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
