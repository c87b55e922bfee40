"""What a run will cost: counted by hand, and measured."""

import gc
import random
import weakref

import numpy as np
import pytest
import torch
from jobs import make_job

from bakeoff.data.batches import ImageStore
from bakeoff.training import cost
from bakeoff.training.cost import measure, steps_expected, training_multiplications


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [
        ({"epochs": 3.0}, 12),
        ({"epochs": 0.5}, 2),
        ({"steps": 7}, 7),
        ({"time": "10s"}, None),
        ({"batch_size": 100}, 2),
    ],
)
def test_steps_are_counted_by_the_recipe(recipe, steps, tmp_path):
    assert steps_expected(make_job(tmp_path, **recipe)) == steps


def test_multiplications_are_those_of_every_image_three_times(tmp_path):
    # A convolution of 3 to 6 channels, 3x3, on 4x4 positions, and a dense layer of 96 to 3.
    per_image = 6 * 3 * 9 * 16 + 96 * 3
    assert training_multiplications(make_job(tmp_path, steps=5)) == 3 * per_image * 5 * 8
    everything = make_job(tmp_path, steps=5, batch_size=1000)
    assert training_multiplications(everything) == 3 * per_image * 5 * 26
    larger = make_job(tmp_path, "model1", input_size=16, steps=1)
    assert training_multiplications(larger) > 4 * training_multiplications(make_job(tmp_path, steps=1))


@pytest.mark.parametrize("network", ["nowhere.py:build", "nobody"])
def test_a_network_that_cannot_be_built_costs_nothing_until_its_run_comes(network, tmp_path):
    assert training_multiplications(make_job(tmp_path, network)) == 0
    assert training_multiplications(make_job(tmp_path, time="10s")) == 0


def test_a_measurement_gives_times_memory_and_speed_and_writes_nothing(tmp_path):
    job = make_job(tmp_path)
    files = sorted(tmp_path.rglob("*"))
    found = measure(job)
    assert 0 < found.seconds_per_step < 10
    assert 0 < found.seconds_per_prediction < 10
    assert found.images_per_second == pytest.approx(8 / found.seconds_per_step)
    assert found.parameters == 6 * 27 + 6 + 12 + 96 * 3 + 3
    assert found.memory_bytes > 1e6
    assert sorted(tmp_path.rglob("*")) == files


@pytest.mark.parametrize(
    ("length", "mean"),
    # 1 s at 4 pixels and 5 s at 8, half of each: of the steps, or of the seconds
    [({"steps": 100}, 3.0), ({"time": "600s"}, 2 / (1 / 1 + 1 / 5))],
)
def test_the_time_of_a_step_is_averaged_over_the_sizes_of_images(length, mean, monkeypatch, tmp_path):
    monkeypatch.setattr(
        cost._Watch, "seconds_per_step", property(lambda self: 1.0 if len(measured) == 1 else 5.0)
    )
    real = cost._short_loop
    measured = []

    def noted(job, model, store, some, watch, pixels):
        measured.append(pixels)
        return real(job, model, store, some, watch, pixels)

    monkeypatch.setattr(cost, "_short_loop", noted)
    job = make_job(tmp_path, "pooled", sizes=[[4, 0.5], [8, 0.5]], **length)
    assert measure(job).seconds_per_step == pytest.approx(mean)
    assert measured == [4, 8]


def test_smaller_images_are_fewer_multiplications(tmp_path):
    whole, smaller = (
        training_multiplications(make_job(tmp_path, "pooled", steps=10, sizes=sizes))
        for sizes in ([], [[4, 0.5], [8, 0.5]])
    )
    pixels, dense = 27 * 6, 18  # multiplications a pixel, and of the last layer
    assert whole / 80 / 3 == 64 * pixels + dense
    assert smaller / 80 / 3 == (16 * pixels + dense) / 2 + (64 * pixels + dense) / 2


def test_the_time_of_a_step_is_the_mean_over_the_steps_behind_the_warm_up(monkeypatch, tmp_path):
    """Steps take 100, 100, 1, 2, 3, 4, 5 and 6 seconds of a clock of our own."""
    lasts = [100, 100, 1, 2, 3, 4, 5, 6]

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()

    def step(self, state, batch):
        clock.now += lasts[state.steps]
        state.steps, state.step, state.images = state.steps + 1, state.step + 1, state.images + 8
        state.tally.add(torch.tensor(1.0), torch.eye(3), torch.arange(3))
        return torch.tensor(1.0)

    monkeypatch.setattr(cost, "time", clock)
    monkeypatch.setattr("bakeoff.training.loop.Loop._step", step)
    assert measure(make_job(tmp_path, epochs=9.0), seconds=1e9).seconds_per_step == 3.5
    clock.now = 0.0
    assert measure(make_job(tmp_path, epochs=9.0), seconds=201).seconds_per_step == 1.5  # two in any case


def test_a_step_that_takes_too_long_ends_a_measurement_at_once(monkeypatch, tmp_path):
    short = measure(make_job(tmp_path, epochs=9.0), longest=0.0)
    assert short.is_cut_short
    assert short.images_per_second > 0
    assert not measure(make_job(tmp_path, epochs=9.0), longest=1e9).is_cut_short


def test_a_measurement_waits_for_each_step_that_a_gpu_may_still_compute(monkeypatch, tmp_path):
    read = []
    item = torch.Tensor.item

    def noted(tensor):
        read.append(tensor)
        return item(tensor)

    monkeypatch.setattr(torch.Tensor, "item", noted)
    heard = []
    on_step = cost._Watch.on_step

    def hear(watch, step):
        stop = on_step(watch, step)
        heard.append(any(tensor is step.loss for tensor in read))
        return stop

    monkeypatch.setattr(cost._Watch, "on_step", hear)
    measure(make_job(tmp_path, epochs=9.0))
    assert heard == [True] * 8


@pytest.mark.parametrize("recipe", [{"steps": 1}, {"steps": 2}, {"time": "0.001s"}, {"batch_size": 64}])
def test_a_run_shorter_than_the_warm_up_is_measured_all_the_same(recipe, tmp_path):
    found = measure(make_job(tmp_path, **recipe))
    assert 0 < found.seconds_per_step < 10
    assert found.images_per_second > 0


def test_a_run_that_would_diverge_is_measured_all_the_same(tmp_path):
    job = make_job(tmp_path, "model1", epochs=9.0, optimizer={"name": "sgd", "lr": 1e30})
    assert measure(job).seconds_per_step > 0


def test_a_network_that_cannot_be_trained_is_told(tmp_path):
    with pytest.raises(ZeroDivisionError):
        measure(make_job(tmp_path, "raising"))


def test_a_measurement_leaves_global_generators_alone(tmp_path):
    torch.manual_seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    measure(make_job(tmp_path, "dropout"))
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert states[2] == random.getstate()


def test_images_of_a_measurement_are_not_kept(monkeypatch, tmp_path):
    made = []

    def store(*arguments):
        made.append(weakref.ref(kept := ImageStore(*arguments)))
        return kept

    monkeypatch.setattr(cost, "ImageStore", store)
    measure(make_job(tmp_path))
    gc.collect()
    assert [reference() for reference in made] == [None]
