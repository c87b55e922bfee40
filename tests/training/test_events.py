"""What TensorBoard reads of a run."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bakeoff.training.events import EventLog

TAGS = {
    "loss/train", "loss/validation", "accuracy/train", "accuracy/validation",
    "speed/images_per_second", "rate/lr",
}  # fmt: skip


def row(epoch):
    return {
        "epoch": float(epoch), "step": 4.0 * epoch, "seconds": 1.0, "train_loss": 1 / epoch,
        "train_accuracy": 0.25 * epoch, "validation_loss": 2 / epoch, "validation_accuracy": 0.125 * epoch,
        "images_per_second": 100.0, "lr": 0.5,
    }  # fmt: skip


def read(path):
    events = EventAccumulator(str(path))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_each_epoch_can_be_read_back_at_its_step(tmp_path):
    log = EventLog(tmp_path, [])
    for epoch in (1, 2):
        log.add(row(epoch))
    log.close()
    found = read(tmp_path)
    assert set(found) == TAGS
    assert found["accuracy/train"] == [(4, 0.25), (8, 0.5)]
    assert found["loss/validation"] == [(4, 2.0), (8, 1.0)]


def test_a_log_opened_again_has_each_epoch_once(tmp_path):
    first = EventLog(tmp_path / "tensorboard", [])
    first.add(row(1))
    first.add(row(2))  # of which the checkpoint knows nothing
    first.close()
    second = EventLog(tmp_path / "tensorboard", [row(1)])
    second.add(row(2))
    second.add(row(3))
    second.close()
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert [step for step, _ in read(tmp_path / "tensorboard")["loss/train"]] == [4, 8, 12]


def test_an_epoch_can_be_read_while_the_run_goes_on(tmp_path):
    log = EventLog(tmp_path, [])
    log.add(row(1))
    try:
        assert read(tmp_path)["loss/train"] == [(4, 1.0)]
    finally:
        log.close()


def test_a_history_with_numbers_that_are_not_finite_is_written_all_the_same(tmp_path):
    log = EventLog(tmp_path, [{**row(1), "validation_loss": float("nan")}])
    log.close()
    ((step, value),) = read(tmp_path)["loss/validation"]
    assert step == 4
    assert value != pytest.approx(value)
