"""A training on its way to disk and back: bit-equal, or refused in one line."""

import os
import sys
from dataclasses import replace

import pytest
import torch
from jobs import make_job

from bakeoff.data.batches import Batch
from bakeoff.errors import ResourceError, StudyError
from bakeoff.training.classifier import build_classifier, placed
from bakeoff.training.run import initial_state
from bakeoff.training.state import Tally


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path, ema=0.9)


def _fresh(job):
    model = build_classifier(
        job.candidate.model, classes=3, input_size=8, mean=job.mean, std=job.std,
        seed=job.seed, base_dir=job.base_dir,
    )  # fmt: skip
    return initial_state(placed(model, torch.device("cpu")), job)


def _moved(job, steps=3):
    """Return a state in the middle of an epoch."""
    state = _fresh(job)
    for step in range(steps):
        images = torch.randint(0, 256, (4, 8, 8, 3), generator=torch.Generator().manual_seed(step))
        batch = Batch(images.byte(), torch.tensor([0, 1, 2, 0]))
        logits_BK = state.model(batch.images_BHWC)
        loss = torch.nn.functional.cross_entropy(logits_BK, batch.labels_B)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        state.averaged.update(state.model, step)
        state.tally.add(loss, logits_BK, batch.labels_B)
        state.step, state.steps, state.images = state.step + 1, state.steps + 1, state.images + 4
    state.epoch, state.seconds, state.total_seconds, state.peak_bytes = 2, 0.1 + 0.2, 1e9 / 3, 12345
    state.history = [{"epoch": 1.0, "train_loss": 1 / 3}, {"epoch": 2.0, "train_loss": float("nan")}]
    return state


def _tensors(state):
    kept = state.optimizer.state_dict()["state"]
    return {
        **{f"model {name}": value for name, value in state.model.state_dict().items()},
        **{f"averaged {name}": value for name, value in state.averaged.module.state_dict().items()},
        **{f"optimizer {key} {name}": value for key in kept for name, value in kept[key].items()},
        "loss": state.tally.loss,
        "correct": state.tally.correct,
    }


def test_a_tally_sums_losses_by_images_and_counts_hits():
    tally = Tally.empty(torch.device("cpu"))
    tally.add(torch.tensor(2.0), torch.eye(3), torch.tensor([0, 1, 0]))
    tally.add(torch.tensor(5.0), torch.eye(3)[:1], torch.tensor([0]))
    assert (tally.loss.item(), tally.correct.item(), tally.seen) == (2.0 * 3 + 5.0, 3, 4)
    assert tally.loss.dtype == torch.float64


def test_a_state_comes_back_bit_equal_from_the_middle_of_an_epoch(job, tmp_path):
    state = _moved(job)
    state.save(tmp_path / "checkpoint.pt", "me")
    other = _fresh(job)
    assert other.load(tmp_path / "checkpoint.pt", "me")
    one, two = _tensors(state), _tensors(other)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert all(one[name].stride() == two[name].stride() for name in one)
    plain = ("epoch", "step", "steps", "images", "seconds", "total_seconds", "peak_bytes")
    assert [getattr(other, name) for name in plain] == [getattr(state, name) for name in plain]
    assert (other.step, other.tally.seen) == (3, 12)
    assert repr(other.history) == repr(state.history)
    assert (state.resumed, other.resumed) == (0, 1)


def test_the_scored_model_is_the_averaged_one_if_there_is_one(job, tmp_path):
    state = _fresh(job)
    assert state.scored is state.averaged.module
    assert replace(state, averaged=None).scored is state.model


def test_without_a_checkpoint_a_training_starts(job, tmp_path):
    state = _fresh(job)
    assert not state.load(tmp_path / "checkpoint.pt", "me")
    assert state.resumed == 0


def test_a_checkpoint_of_another_identity_is_passed_over(job, tmp_path):
    _moved(job).save(tmp_path / "checkpoint.pt", "somebody else")
    state = _fresh(job)
    before = {name: value.clone() for name, value in _tensors(state).items()}
    assert not state.load(tmp_path / "checkpoint.pt", "me")
    assert all(torch.equal(before[name], value) for name, value in _tensors(state).items())
    assert (state.resumed, state.steps, state.history) == (0, 0, [])


def _refused(job, path, what):
    with pytest.raises(StudyError) as caught:
        _fresh(job).load(path, "me")
    text = str(caught.value)
    assert text.startswith(f"{path} {what} (")
    assert text.endswith("); delete it to train this run anew")
    assert "\n" not in text


def test_a_damaged_checkpoint_is_refused_in_one_line(job, tmp_path):
    path = tmp_path / "checkpoint.pt"
    _moved(job).save(path, "me")
    whole = path.read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(damaged)
        _refused(job, path, "is damaged")


@pytest.mark.parametrize("content", [[1, 2], {"model": {}}], ids=["a list", "no identity"])
def test_a_file_of_torch_that_is_no_checkpoint_is_refused_in_one_line(job, tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pt")
    _refused(job, tmp_path / "checkpoint.pt", "is damaged")


def test_a_checkpoint_that_does_not_fit_the_network_is_refused_in_one_line(job, tmp_path):
    path = tmp_path / "checkpoint.pt"
    _moved(job).save(path, "me")
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, "model": {"other": torch.zeros(1)}}, path)
    _refused(job, path, "does not fit this run")
    del saved["plain"]["history"]  # as a version before it would have left it
    torch.save(saved, path)
    _refused(job, path, "does not fit this run")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_a_resource_error_and_the_old_checkpoint_stays(job, tmp_path):
    path = tmp_path / "checkpoint.pt"
    _moved(job, 2).save(path, "me")
    before = path.read_bytes()
    (tmp_path / f".checkpoint.pt.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(ResourceError) as caught:
        _moved(job, 3).save(path, "me")
    assert str(caught.value) == f"disk full: could not write {path}; nothing partial is left"
    assert path.read_bytes() == before
