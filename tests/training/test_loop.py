"""The training itself: when it ends, what it tells, and that an interruption changes nothing.

The runs here are whole ones, through `train_run`, wherever a checkpoint matters.
"""

import itertools
import math
import random
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jobs import Ear, course_of, make_job, pictures, train
from safetensors.torch import load_file

from bakeoff.data.batches import ImageStore, TrainingBatches
from bakeoff.records import RunFolder
from bakeoff.spec import Recipe
from bakeoff.training.classifier import build_classifier, placed
from bakeoff.training.evaluate import predict
from bakeoff.training.loop import Course, Diverged, Loop, Stopped, own_global_state
from bakeoff.training.run import autocast_for, initial_state, objective_for, train_run

CPU = torch.device("cpu")

RECIPES = {
    "plain": {},
    "dropout": {"network": "dropout"},
    "ema": {"ema": 0.9, "optimizer": {"name": "sgd", "lr": 0.05}, "schedule": "one-cycle"},
    "mixing": {"augmentation": {"crop": 1, "flip": "alternating", "mixup": 0.4, "cutmix": 1.0}},
    "sizes": {"network": "pooled", "sizes": [[4, 0.4], [6, 0.3], [8, 0.3]], "test_views": "six"},
    "clip": {"clip_norm": 0.5, "schedule": "cosine", "warmup": 0.25},
    "muon": {"optimizer": {"name": "muon", "lr": 0.02}, "sampler": "balanced"},
    "statistics": {"norm_statistics": "recalibrated", "ema": 0.5},
}


def _loop(job, listeners=(), **parts):
    """Put a loop together for a job, with a validation that costs nothing."""
    model = build_classifier(
        job.candidate.model, classes=len(job.data.class_ids), input_size=job.input_size,
        mean=job.mean, std=job.std, seed=job.seed, base_dir=job.base_dir,
    )  # fmt: skip
    state = initial_state(placed(model, CPU), job)
    store = ImageStore(job.data.images_NHWC, job.data.labels_N, CPU)
    batches = TrainingBatches(
        store, job.data.train, batch_size=job.recipe.batch_size, seed=job.seed,
        augmentation=job.recipe.augmentation,
    )  # fmt: skip
    values = {
        "course": Course(job.recipe, batches.steps_per_epoch), "batches": batches,
        "objective": objective_for(job), "autocast": autocast_for(job), "forward": state.model,
        "validate": lambda state: {"validation_loss": 1.0, "validation_accuracy": 0.5},
        "checkpoint": lambda state: None, "checkpoint_seconds": math.inf, "listeners": listeners,
    }  # fmt: skip
    return Loop(**{**values, **parts}), state


def _outcome(job, path, ear=None):
    record, folder = train(job, path, ear)
    with np.load(folder.probabilities_path) as found:
        probabilities = {split: found[split] for split in found}
    return record, load_file(folder.weights_path), probabilities


def _same(one, other):
    (record, weights, probabilities), (record2, weights2, probabilities2) = one, other
    assert weights.keys() == weights2.keys()
    assert all(torch.equal(weights[name], weights2[name]) for name in weights)
    assert course_of(record.history) == course_of(record2.history)
    assert record.metrics == record2.metrics
    assert all((probabilities[split] == probabilities2[split]).all() for split in probabilities)
    assert (record.steps, record.epochs) == (record2.steps, record2.epochs)


# Interruption


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_stopped_at_any_step_ends_in_the_same_weights_history_and_metrics(name, tmp_path):
    job = make_job(tmp_path, **RECIPES[name])
    whole = _outcome(job, tmp_path / "whole")
    assert whole[0].steps == 8
    for stop in range(1, 8):
        with pytest.raises(Stopped):
            train(job, tmp_path / f"stop-{stop}", Ear({stop}))
        assert (tmp_path / f"stop-{stop}" / "checkpoint.pt").exists()
        resumed = _outcome(job, tmp_path / f"stop-{stop}", ear := Ear())
        _same(whole, resumed)
        assert [step.steps for step in ear.steps] == list(range(stop + 1, 9))
        assert (whole[0].resumed, resumed[0].resumed) == (0, 1)
        assert not (tmp_path / f"stop-{stop}" / "checkpoint.pt").exists()


def test_a_run_stopped_after_every_step_ends_in_the_same_weights(tmp_path):
    job = make_job(tmp_path, "dropout", ema=0.9, augmentation={"flip": "random", "mixup": 0.3})
    whole = _outcome(job, tmp_path / "whole")
    for stop in range(1, 8):
        with pytest.raises(Stopped):
            train(job, tmp_path / "pieces", Ear({stop}))
    resumed = _outcome(job, tmp_path / "pieces")
    _same(whole, resumed)
    assert resumed[0].resumed == 7


def test_a_run_killed_between_two_checkpoints_repeats_the_steps_since_the_last(tmp_path):
    job = make_job(tmp_path)
    whole = _outcome(job, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(job, tmp_path / "killed", Ear({3}))

    class Kill(Ear):
        def on_step(self, step):
            super().on_step(step)
            if step.steps == 6:
                raise KeyboardInterrupt
            return False

    with pytest.raises(KeyboardInterrupt):
        train(job, tmp_path / "killed", Kill())
    resumed = _outcome(job, tmp_path / "killed", ear := Ear())
    _same(whole, resumed)
    assert ear.steps[0].steps == 4


def test_a_run_killed_in_its_evaluation_only_evaluates_again(tmp_path):
    job = make_job(tmp_path)
    whole = _outcome(job, tmp_path / "whole")

    class Kill(Ear):
        def on_evaluation(self, split, done, total):
            if split == "test":
                raise KeyboardInterrupt

    folder = RunFolder(tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        train_run(job, folder, Kill(), checkpoint_seconds=0.0)
    resumed = _outcome(job, tmp_path / "killed", ear := Ear())
    _same(whole, resumed)
    assert ear.steps == []
    assert [reading["purpose"] for reading in resumed[0].test_readings] == ["final evaluation"] * 2


def test_checkpoints_are_written_as_often_as_an_interruption_may_cost(tmp_path):
    job = make_job(tmp_path)
    saved = []
    loop, state = _loop(job, checkpoint=lambda state: saved.append(state.steps), checkpoint_seconds=0.0)
    loop.run(state)
    assert saved == list(range(1, 8))  # never behind the last step: its epoch has no row yet


# What listeners hear


def test_every_listener_hears_every_step_whatever_another_says(tmp_path):
    saved = []
    first, second = Ear({3, 4}), Ear()
    loop, state = _loop(
        make_job(tmp_path), listeners=[first, second], checkpoint=lambda state: saved.append(state.steps)
    )
    with pytest.raises(Stopped):
        loop.run(state)
    assert [step.steps for step in first.steps] == [step.steps for step in second.steps] == [1, 2, 3]
    assert saved == [3]


def test_a_step_tells_where_the_training_stands(tmp_path):
    ear = Ear()
    loop, state = _loop(make_job(tmp_path), listeners=[ear])
    loop.run(state)
    assert [step.epoch for step in ear.steps] == [0] * 4 + [1] * 4
    assert {step.steps_total for step in ear.steps} == {8}
    assert [step.images_seen for step in ear.steps] == [8, 16, 24, 26, 34, 42, 50, 52]
    assert [step.progress for step in ear.steps] == [step / 8 for step in range(1, 9)]
    seconds = [step.seconds for step in ear.steps]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    assert all(torch.isfinite(step.loss) and not step.loss.requires_grad for step in ear.steps)


def test_what_listeners_do_does_not_count_as_training(tmp_path):
    class Slow(Ear):
        def on_step(self, step):
            time.sleep(0.05)
            return super().on_step(step)

    loop, state = _loop(make_job(tmp_path), listeners=[Slow()])
    started = time.perf_counter()
    loop.run(state)
    assert time.perf_counter() - started > 0.4
    assert state.seconds < time.perf_counter() - started - 0.35


def test_a_row_of_the_history_is_the_mean_over_the_images_of_its_epoch(tmp_path):
    ear = Ear()
    loop, state = _loop(make_job(tmp_path), listeners=[ear])
    loop.run(state)
    sizes = [8, 8, 8, 2]
    for epoch, row in enumerate(ear.rows):
        losses = [float(step.loss) for step in ear.steps if step.epoch == epoch]
        assert row["train_loss"] == pytest.approx(np.average(losses, weights=sizes), rel=1e-6)
        assert row["step"] == 4 * (epoch + 1)
        assert row["epoch"] == epoch + 1
        assert row["validation_loss"] == 1.0
        assert row["images_per_second"] == pytest.approx(26 * (epoch + 1) / row["seconds"])
    assert ear.rows == state.history


# How long it lasts


@pytest.mark.parametrize(
    ("length", "steps", "rows"),
    [
        ({"epochs": 0.5}, 2, [0.6154]),  # 16 of 26 images
        ({"epochs": 1.5}, 6, [1.0, 1.6154]),
        ({"epochs": 0.01}, 1, [0.3077]),
        ({"steps": 5}, 5, [1.0, 1.3077]),
        ({"steps": 4}, 4, [1.0]),
    ],
)
def test_a_length_may_end_within_an_epoch(length, steps, rows, tmp_path):
    record, _ = train(make_job(tmp_path, **length), tmp_path / "run")
    assert (record.status, record.steps) == ("finished", steps)
    assert [row["epoch"] for row in record.history] == pytest.approx(rows, abs=1e-4)
    assert record.epochs == pytest.approx(rows[-1], abs=1e-4)


def _seen(job, **parts):
    """Return the sides of the images that a training's steps see, and those of its validations."""
    sides = []
    loop, state = _loop(job, **parts)
    state.model.network.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))
    loop.run(state)
    assert state.model.preprocess.input_size == 8
    return sides


def test_images_are_shown_in_sizes_by_their_shares_of_the_length(tmp_path):
    job = make_job(tmp_path, "pooled", steps=10, sizes=[[4, 0.5], [6, 0.25], [8, 0.25]])
    assert _seen(job) == [4] * 5 + [6] * 3 + [8] * 2  # the step that begins at 7/10 is still in the second


def test_sizes_of_a_length_in_seconds_follow_the_clock(ticks, tmp_path):
    job = make_job(tmp_path, "pooled", time="0.095s", sizes=[[6, 0.7], [16, 0.3]])
    # 0.01 s a step, and as long for the end of each epoch of four: six steps begin before 0.0665 s
    assert _seen(job) == [6] * 6 + [16] * 2


def test_validation_sees_the_images_in_the_networks_own_size(tmp_path):
    job = make_job(tmp_path, "pooled", steps=8, sizes=[[4, 1.0]])
    store = ImageStore(job.data.images_NHWC, job.data.labels_N, CPU)

    def validate(state):
        predict(state.model, store, job.data.validation)
        return {"validation_loss": 1.0, "validation_accuracy": 0.5}

    assert _seen(job, validate=validate) == [4, 4, 4, 4, 8] * 2


@pytest.fixture
def ticks(monkeypatch):
    """A clock that moves by a hundredth of a second each time a step or an epoch ends."""
    counted = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(counted) / 100, monotonic=time.monotonic)
    monkeypatch.setattr("bakeoff.training.loop.time", clock)


def test_a_length_in_seconds_ends_by_the_clock(ticks, tmp_path):
    ear = Ear()
    record, _ = train(make_job(tmp_path, time="0.325s"), tmp_path / "run", ear)
    assert (record.status, record.steps) == ("finished", 27)  # 6 epochs of 0.05 s, and 3 steps
    assert record.train_seconds == pytest.approx(0.34)
    assert [step.steps_total for step in ear.steps] == [None] * 27
    progress = [step.progress for step in ear.steps]
    assert progress[:5] == pytest.approx([seconds / 0.325 for seconds in (0.01, 0.02, 0.03, 0.04, 0.06)])
    assert progress == sorted(progress)
    assert progress[-2] < progress[-1] == 1


def test_the_clock_may_end_a_training_between_two_epochs(ticks, tmp_path):
    ear = Ear()
    record, _ = train(make_job(tmp_path, time="0.195s"), tmp_path / "run", ear)
    assert (record.status, record.steps) == ("finished", 16)  # 0.19 s by then, 0.20 with the epoch's end
    assert len(record.history) == 4
    assert ear.steps[-1].progress == pytest.approx(0.19 / 0.195)


@pytest.mark.parametrize(("seconds", "apart"), [("0.325s", False), ("0.095s", True)])
def test_a_run_that_overran_an_equal_budget_is_ranked_by_itself(ticks, tmp_path, seconds, apart):
    job = make_job(tmp_path, time=seconds)
    job = replace(job, task=job.task.model_copy(update={"control": "budget"}))
    record, _ = train(
        job, tmp_path / "run", Ear()
    )  # ends 4.6 % after its 0.325 s, or 5.3 % after its 0.095 s
    assert (record.control_digest != job.control_digest) == apart
    assert ("time" in record.differences) == apart


def test_seconds_spent_before_an_interruption_count(ticks, tmp_path):
    job = make_job(tmp_path, time="0.095s")
    with pytest.raises(Stopped):
        train(job, tmp_path / "run", first := Ear({2}))
    record, _ = train(job, tmp_path / "run", second := Ear())
    assert first.steps[-1].seconds == pytest.approx(0.02)
    assert second.steps[0].seconds == pytest.approx(0.03)
    assert record.train_seconds == pytest.approx(0.1)


def _stopping(losses, patience, tmp_path):
    """Return how many epochs are trained when the validation losses are these."""
    job = make_job(tmp_path, epochs=float(len(losses)), early_stop={"patience": patience})
    given = iter(losses)
    loop, state = _loop(
        job, validate=lambda state: {"validation_loss": next(given), "validation_accuracy": 0.0}
    )
    loop.run(state)
    return len(state.history)


@pytest.mark.parametrize(
    ("losses", "patience", "epochs"),
    [
        ([3, 2, 1, 0.5], 1, 4),
        ([3, 2, 2, 1], 1, 3),  # no better is not better
        ([3, 2, 4, 1, 5], 2, 5),
        ([3, 2, 4, 5, 1], 2, 4),
        ([3, 3.5, 3.2, 3.1, 1], 2, 3),
        ([math.nan, math.nan, 1], 1, 2),
        ([math.nan, 2, 1, 1], 1, 4),
        ([2, math.nan, math.nan, 1], 2, 3),
    ],
)
def test_training_stops_when_so_many_epochs_brought_nothing_better(losses, patience, epochs, tmp_path):
    assert _stopping(losses, patience, tmp_path) == epochs


def test_an_early_stop_comes_at_the_same_epoch_after_an_interruption(tmp_path):
    job = make_job(tmp_path, epochs=30.0, optimizer={"lr": 0.3}, early_stop={"patience": 1})
    whole = _outcome(job, tmp_path / "whole")
    assert 2 <= len(whole[0].history) < 30
    last = whole[0].steps
    with pytest.raises(Stopped):
        train(job, tmp_path / "pieces", Ear({last - 1}))
    _same(whole, _outcome(job, tmp_path / "pieces"))


# The rate


def test_rates_move_from_step_to_step_and_neither_end_is_wasted_at_zero():
    recipe = Recipe.model_validate({"steps": 4, "optimizer": {"lr": 0.5}, "schedule": "linear"})
    course = Course(recipe, 2)

    class At:
        steps, history = 0, ()

    rates = []
    for At.steps in range(4):
        rates.append(course.rate(At))
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_the_rate_that_the_course_says_is_the_rate_that_is_used(tmp_path):
    used = []

    class Look(Ear):
        def on_step(self, step):
            used.append([group["lr"] for group in state.optimizer.param_groups])
            return False

    job = make_job(tmp_path, steps=6, schedule="linear", warmup=0.5, optimizer={"lr": 0.7})
    loop, state = _loop(job, listeners=[Look()])
    loop.run(state)
    by_hand = [0.7 * factor for factor in (2 / 7, 4 / 7, 6 / 7, 6 / 7, 4 / 7, 2 / 7)]
    for rates, expected in zip(used, by_hand, strict=True):
        assert rates == pytest.approx([expected] * 2)


def test_gradients_longer_than_the_limit_are_shortened_to_it(tmp_path):
    norms = []

    class Look(Ear):
        def on_step(self, step):
            norms.append(torch.cat([p.grad.flatten() for p in state.model.parameters()]).norm().item())
            return False

    loop, state = _loop(make_job(tmp_path, clip_norm=0.01), listeners=[Look()])
    loop.run(state)
    assert norms == pytest.approx([0.01] * 8, rel=1e-3)


# Divergence

HOT = {"optimizer": {"name": "sgd", "lr": 1e30}, "epochs": 3.0}


@pytest.mark.parametrize(
    ("batch_size", "step", "epoch"), [(8, 4, 1), (1, 20, 1)], ids=["epoch's end", "every 20 steps"]
)
def test_a_loss_that_is_not_finite_is_told_at_the_next_look(batch_size, step, epoch, tmp_path):
    loop, state = _loop(make_job(tmp_path, "model1", batch_size=batch_size, **HOT))
    with pytest.raises(Diverged) as caught:
        loop.run(state)
    assert str(caught.value) == (
        f"the loss was no longer finite by step {step} (epoch {epoch}, learning rate 1e+30)"
    )


@pytest.mark.parametrize("stops", [(1,), (3,), (4, 9), (19,), tuple(range(1, 20))], ids=str)
def test_a_run_diverges_at_the_same_step_with_and_without_interruption(stops, tmp_path):
    job = make_job(tmp_path, "model1", batch_size=1, **HOT)
    whole, _ = train(job, tmp_path / "whole")
    for stop in stops:
        with pytest.raises(Stopped):
            train(job, tmp_path / "pieces", Ear({stop}))
    pieces, _ = train(job, tmp_path / "pieces")
    assert whole.status == pieces.status == "diverged"
    assert (whole.reason, whole.steps) == (pieces.reason, pieces.steps)
    assert whole.steps == 20


# Random numbers


def test_global_generators_are_left_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with own_global_state(CPU):
        torch.manual_seed(99)
        torch.rand(5)
    assert torch.equal(torch.rand(2), expected)


def test_dropout_draws_by_seed_epoch_and_step_whatever_the_caller_drew(tmp_path):
    job = make_job(tmp_path, "dropout")
    losses = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        random.seed(noise)
        ear = Ear()
        train(job, tmp_path / f"run-{noise}", ear)
        losses.append([float(step.loss) for step in ear.steps])
    assert losses[0] == losses[1]
    train(make_job(tmp_path, "dropout", seed=1, data=pictures()), tmp_path / "other", ear := Ear())
    assert [float(step.loss) for step in ear.steps] != losses[0]


def test_every_step_has_draws_of_its_own(tmp_path):
    draws = []

    def forward(images_BHWC):
        draws.append(torch.rand(1).item())
        return state.model(images_BHWC)

    loop, state = _loop(make_job(tmp_path), forward=forward)
    loop.run(state)
    assert len(set(draws)) == len(draws) == 8
    before, state.epoch, state.step, state.steps = list(draws), 1, 2, 6  # as if resumed here
    loop.run(state)
    assert draws[8:] == before[6:]
