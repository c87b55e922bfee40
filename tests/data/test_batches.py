"""Which images a batch holds, in which order, and how batches are made ahead."""

import threading
import time

import numpy as np
import pytest
import torch
from jobs import pictures

from bakeoff.data import batches as module
from bakeoff.data.batches import ImageStore, TrainingBatches, ahead, evaluation_batches, steps_in_epoch
from bakeoff.spec import Augmentation

CPU = torch.device("cpu")
EVERYTHING = Augmentation(crop=2, flip="alternating", mixup=0.3, cutmix=1.0)


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    assert [thread for thread in threading.enumerate() if thread.name == "batches"] == []


def _store(data):
    return ImageStore(data.images_NHWC, data.labels_N, CPU)


def _batches(data=None, *, batch_size=8, seed=0, augmentation=None, balanced=False):
    data = data or pictures(height=4)
    return TrainingBatches(
        _store(data), data.train, batch_size=batch_size, seed=seed,
        augmentation=augmentation or Augmentation(), balanced=balanced,
    )  # fmt: skip


def _equal(one, other):
    same_partners = (one.partner_labels_B is None) == (other.partner_labels_B is None)
    if same_partners and one.partner_labels_B is not None:
        same_partners = torch.equal(one.partner_labels_B, other.partner_labels_B)
    return (
        same_partners
        and one.kept == other.kept
        and torch.equal(one.labels_B, other.labels_B)
        and torch.equal(one.images_BHWC, other.images_BHWC)
    )


# The store


def test_an_image_of_which_nothing_is_kept_is_never_taken_for_another_one():
    data = pictures()
    rows_N = np.full(len(data.labels_N), -1)
    rows_N[[3, 5]] = [0, 1]
    store = ImageStore(data.images_NHWC[[3, 5]], data.labels_N, CPU, rows_N=rows_N)
    images_BHWC, labels_B = store.take(np.array([5, 3]))
    assert np.array_equal(images_BHWC.numpy(), data.images_NHWC[[5, 3]])
    assert labels_B.tolist() == data.labels_N[[5, 3]].tolist()
    with pytest.raises(LookupError, match="image 4 has no row"):
        store.take(np.array([3, 4]))


def test_the_store_gives_the_images_and_labels_of_an_index_in_its_order():
    data = pictures(height=4)
    index = np.array([5, 0, 5, 11])
    images_BHWC, labels_B = _store(data).take(index)
    np.testing.assert_array_equal(images_BHWC.numpy(), data.images_NHWC[index])
    np.testing.assert_array_equal(labels_B.numpy(), data.labels_N[index])
    assert (images_BHWC.dtype, labels_B.dtype) == (torch.uint8, torch.int64)
    assert len(_store(data)) == len(data.labels_N)


def test_writing_into_a_batch_leaves_the_stored_images_alone():
    data = pictures()
    before = data.images_NHWC.copy()
    _store(data).take(data.train)[0].zero_()
    np.testing.assert_array_equal(data.images_NHWC, before)


def test_images_resident_on_a_device_are_the_mapped_ones():
    """Without a GPU the processor plays it; a warning about the read-only map would fail this test."""
    data = pictures(height=4)
    mapped, resident = _store(data), _store(data)
    resident._resident_NHWC = module._upload(data.images_NHWC, CPU)
    for one, other in zip(mapped.take(data.train), resident.take(data.train), strict=True):
        assert torch.equal(one, other)


# An epoch


@pytest.mark.parametrize(
    ("images", "batch_size"), [(26, 8), (25, 8), (24, 8), (5, 8), (1, 8), (3, 1), (9, 2)]
)
def test_an_epoch_holds_every_image_once_but_a_last_single_one(images, batch_size):
    data = pictures(train=images)
    batches = _batches(data, batch_size=batch_size)
    made = list(batches.epoch(0))
    sizes = [len(batch.labels_B) for batch in made]
    left_out = 1 if images % batch_size == 1 and images > batch_size > 1 else 0
    assert len(sizes) == batches.steps_per_epoch == steps_in_epoch(images, batch_size)
    assert sum(sizes) == images - left_out
    assert all(size == min(batch_size, images) for size in sizes[:-1])
    order = batches.order(0)[: sum(sizes)]
    assert len(set(order)) == len(order)
    assert set(order) <= set(data.train)
    np.testing.assert_array_equal(torch.cat([b.images_BHWC for b in made]).numpy(), data.images_NHWC[order])
    np.testing.assert_array_equal(torch.cat([b.labels_B for b in made]).numpy(), data.labels_N[order])


def test_an_image_left_out_of_one_epoch_comes_in_another():
    data = pictures(train=25)
    batches = _batches(data)
    left_out = {int(batches.order(epoch)[-1]) for epoch in range(12)}
    assert len(left_out) > 5


def test_a_batch_larger_than_the_data_is_all_of_the_data():
    batches = _batches(pictures(train=5), batch_size=64)
    assert [len(batch.labels_B) for batch in batches.epoch(0)] == [5]


def test_the_order_depends_on_seed_and_epoch_only():
    data = pictures()
    order = _batches(data, seed=3).order(2).tolist()
    assert _batches(data, seed=3, batch_size=5, augmentation=EVERYTHING).order(2).tolist() == order
    assert _batches(data, seed=3).order(3).tolist() != order
    assert _batches(data, seed=4).order(2).tolist() != order


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("augmentation", [Augmentation(), EVERYTHING], ids=["plain", "augmented"])
def test_an_epoch_entered_at_any_step_goes_on_as_it_would_have(augmentation, balanced):
    data = pictures()
    batches = _batches(data, augmentation=augmentation, balanced=balanced)
    whole = list(batches.epoch(1))
    for start in range(len(whole) + 1):
        rest = list(_batches(data, augmentation=augmentation, balanced=balanced).epoch(1, start))
        assert len(rest) == len(whole) - start
        assert all(_equal(one, other) for one, other in zip(rest, whole[start:], strict=True))


def test_mixed_batches_carry_the_labels_of_both_images():
    data = pictures()
    batches = _batches(data, augmentation=Augmentation(mixup=1.0))
    order = batches.order(0)
    for step, batch in enumerate(batches.epoch(0)):
        index = order[8 * step : 8 * (step + 1)]
        plain = data.images_NHWC[index].astype(np.float64)
        rest = (batch.images_BHWC.double().numpy() - batch.kept * plain) / (1 - batch.kept)
        partner = [int(np.abs(plain - one).mean(axis=(1, 2, 3)).argmin()) for one in rest]
        assert sorted(partner) == list(range(len(index)))
        np.testing.assert_array_equal(batch.labels_B.numpy(), data.labels_N[index])
        np.testing.assert_array_equal(batch.partner_labels_B.numpy(), data.labels_N[index][partner])


def test_the_balanced_sampler_draws_all_classes_alike_and_as_many_images():
    data = pictures(train=100, classes=2)
    labels_N = data.labels_N.copy()
    labels_N[data.train] = (np.arange(100) < 10).astype(np.int64)  # ten of one class, ninety of the other
    store = ImageStore(data.images_NHWC, labels_N, CPU)
    batches = TrainingBatches(
        store, data.train, batch_size=10, seed=0, augmentation=Augmentation(), balanced=True
    )
    drawn = np.concatenate([batches.order(epoch) for epoch in range(200)])
    assert set(drawn) == set(data.train)
    assert abs(labels_N[drawn].mean() - 0.5) < 0.02
    _, counts = np.unique(drawn[labels_N[drawn] == 1], return_counts=True)
    np.testing.assert_allclose(counts / counts.mean(), 1, atol=0.15)  # images of a class alike too
    assert [len(b.labels_B) for b in batches.epoch(0)] == [10] * 10


def test_evaluation_takes_the_images_in_order_and_as_they_are():
    data = pictures(height=4, validation=11)
    made = list(evaluation_batches(_store(data), data.validation, 4))
    assert [len(batch.labels_B) for batch in made] == [4, 4, 3]
    together = torch.cat([batch.images_BHWC for batch in made]).numpy()
    np.testing.assert_array_equal(together, data.images_NHWC[data.validation])


# Ahead


def test_items_made_ahead_come_in_order_and_whatever_they_are():
    items = [3, None, "x", [1]]
    assert list(ahead(iter(items))) == items
    assert list(ahead([])) == []


def test_no_more_than_the_depth_and_one_in_hand_are_made_in_advance():
    made = []

    def making():
        for item in range(100):
            made.append(item)
            yield item

    items = ahead(making(), depth=2)
    next(items)
    time.sleep(0.3)
    assert len(made) <= 1 + 2 + 1
    items.close()


def test_items_are_made_by_another_thread_before_they_are_asked_for():
    makers = []
    ready = threading.Event()

    def making():
        yield 0
        makers.append(threading.current_thread())
        ready.set()
        yield 1

    items = ahead(making())
    next(items)
    assert ready.wait(5)
    assert makers != [threading.current_thread()]
    assert list(items) == [1]


def test_an_exception_rises_where_its_item_would_have_come():
    def failing():
        yield 1
        yield 2
        raise KeyError("third")

    heard = []

    def hear():
        for item in ahead(failing()):
            heard.append(item)  # noqa: PERF402 - what came before the exception counts

    with pytest.raises(KeyError, match="third"):
        hear()
    assert heard == [1, 2]


def test_leaving_early_ends_the_thread_even_when_the_queue_is_full():
    for item in ahead(iter(range(1000))):
        if item == 3:
            break
    # The fixture above sees that no thread stays.


def test_an_exception_in_the_loop_ends_the_thread():
    def stop_at_two():
        for item in ahead(iter(range(1000))):
            if item == 2:
                raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        stop_at_two()
