"""Shifts, mirrorings and mixing: what is drawn, and what is done with it."""

import numpy as np
import pytest
import torch

from bakeoff import rng
from bakeoff.data.augment import (
    Mix,
    Moves,
    _gathered,
    _gathered_on_device,
    _mixed,
    _mixed_on_device,
    apply_mix,
    apply_moves,
    draw_mix,
    draw_moves,
)
from bakeoff.spec import Augmentation

IMAGES = np.arange(10_000)


def _pictures(count, height=4, width=8, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return torch.from_numpy(values)


def _mirrored(flip, epoch, seed=0, step=0, images=IMAGES):
    return draw_moves(Augmentation(flip=flip), seed, epoch, step, images).mirror_B


# Drawing


def test_a_recipe_without_augmentation_draws_nothing():
    assert draw_moves(Augmentation(), 0, 0, 0, IMAGES) is None
    assert draw_mix(Augmentation(), np.random.default_rng(0), 8, 8) is None


def test_the_same_stream_draws_the_same_moves_and_every_other_stream_others():
    augmentation = Augmentation(crop=4, flip="random")

    def drawn(seed, epoch, step):
        moves = draw_moves(augmentation, seed, epoch, step, IMAGES[:64])
        return [values.tolist() for values in (moves.down_B, moves.right_B, moves.mirror_B)]

    first = drawn(1, 2, 3)
    assert drawn(1, 2, 3) == first
    for other in (drawn(9, 2, 3), drawn(1, 9, 3), drawn(1, 2, 9)):
        assert all(values != same for values, same in zip(other, first, strict=True))


def test_rows_and_columns_are_shifted_apart_evenly_within_the_border():
    moves = draw_moves(Augmentation(crop=2), 0, 0, 0, IMAGES)
    for shift_B in (moves.down_B, moves.right_B):
        values, counts = np.unique(shift_B, return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        np.testing.assert_allclose(counts / len(IMAGES), 0.2, atol=0.02)
    assert abs(np.corrcoef(moves.down_B, moves.right_B)[0, 1]) < 0.05
    assert not moves.mirror_B.any()


def test_flipping_does_not_change_where_images_are_cropped():
    with_flip = draw_moves(Augmentation(crop=3, flip="random"), 0, 1, 2, IMAGES)
    without = draw_moves(Augmentation(crop=3), 0, 1, 2, IMAGES)
    assert (with_flip.down_B == without.down_B).all()
    assert (with_flip.right_B == without.right_B).all()


def test_flipping_alone_shifts_nothing():
    moves = draw_moves(Augmentation(flip="random"), 0, 0, 0, IMAGES)
    assert not moves.down_B.any()
    assert not moves.right_B.any()


def test_a_random_flip_mirrors_half_of_the_images_anew_in_every_epoch():
    first, second = _mirrored("random", 0), _mirrored("random", 1)
    assert abs(first.mean() - 0.5) < 0.02
    assert abs((first == second).mean() - 0.5) < 0.02


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_an_alternating_flip_mirrors_each_image_in_every_other_epoch_and_half_of_them_in_each(seed):
    mirrored_EB = np.stack([_mirrored("alternating", epoch, seed) for epoch in range(6)])
    assert (mirrored_EB[1:] != mirrored_EB[:-1]).all()
    np.testing.assert_allclose(mirrored_EB.mean(axis=1), 0.5, atol=0.02)


def test_an_alternating_flip_knows_an_image_in_any_batch():
    order = np.random.default_rng(0).permutation(IMAGES)
    together = _mirrored("alternating", 3)
    apart = np.concatenate([
        _mirrored("alternating", 3, step=step, images=part) for step, part in enumerate(np.split(order, 100))
    ])  # fmt: skip
    assert (together[order] == apart).all()


def test_alternating_flips_of_two_seeds_and_of_neighbouring_images_are_unrelated():
    first, second = _mirrored("alternating", 0, seed=1), _mirrored("alternating", 0, seed=2)
    assert abs((first == second).mean() - 0.5) < 0.02
    assert abs((first[1:] == first[:-1]).mean() - 0.5) < 0.02


# Moving


@pytest.mark.parametrize("seed", range(12))
def test_moving_equals_a_reflected_border_a_window_and_a_mirror(seed):
    chance = np.random.default_rng(seed)
    height, width = chance.integers(2, 11, size=2)
    crop = int(chance.integers(0, 13))  # also wider than the image
    images_BHWC = _pictures(5, height, width, seed)
    moves = Moves(*chance.integers(-crop, crop + 1, size=(2, 5)), chance.random(5) < 0.5)
    border = ((crop, crop), (crop, crop), (0, 0))
    moved_BHWC = apply_moves(images_BHWC, moves)
    assert moved_BHWC.dtype == torch.uint8
    for image, down, right, mirror, moved in zip(
        images_BHWC.numpy(), moves.down_B, moves.right_B, moves.mirror_B, moved_BHWC.numpy(), strict=True
    ):
        padded = np.pad(image, border, mode="reflect")
        window = padded[crop + down : crop + down + height, crop + right : crop + right + width]
        np.testing.assert_array_equal(moved, window[:, ::-1] if mirror else window)


def test_an_image_of_a_single_row_can_be_moved():
    images_BHWC = _pictures(1, 1, 4)
    moved = apply_moves(images_BHWC, Moves(np.array([2]), np.array([1]), np.array([False])))
    assert torch.equal(moved, images_BHWC[:, :, [1, 2, 3, 2]])


def test_what_an_accelerator_runs_moves_like_the_cpu():
    images_BHWC = _pictures(5, 6, 7)
    chance = np.random.default_rng(0)
    rows_BH, columns_BW = chance.integers(0, 6, size=(5, 6)), chance.integers(0, 7, size=(5, 7))
    there = _gathered_on_device(
        images_BHWC, torch.from_numpy(rows_BH)[:, :, None], torch.from_numpy(columns_BW)[:, None, :]
    )
    np.testing.assert_array_equal(_gathered(images_BHWC.numpy(), rows_BH, columns_BW), there.numpy())


# Mixing


@pytest.mark.parametrize("box", [None, (1, 2, 3, 7), (0, 0, 0, 0)])
def test_what_an_accelerator_runs_mixes_like_the_cpu(box):
    images_BHWC = _pictures(3)
    mix = Mix(np.array([2, 0, 1]), 0.3, box)
    here, there = _mixed(images_BHWC.numpy(), mix), _mixed_on_device(images_BHWC, mix).numpy()
    assert here.dtype == there.dtype
    np.testing.assert_allclose(here, there, rtol=1e-6)


def test_mixup_blends_every_pixel_by_the_weight_of_the_label():
    images_BHWC = _pictures(3)
    before = images_BHWC.clone()
    mixed = apply_mix(images_BHWC, Mix(np.array([2, 0, 1]), 0.75, None))
    values = before.numpy().astype(np.float64)
    assert mixed.dtype == torch.float32
    np.testing.assert_allclose(mixed.numpy(), 0.75 * values + 0.25 * values[[2, 0, 1]], rtol=1e-6)
    assert torch.equal(images_BHWC, before)


def test_cutmix_pastes_the_partners_box_and_leaves_bytes():
    images_BHWC = _pictures(3)
    before = images_BHWC.clone()
    mixed = apply_mix(
        images_BHWC, Mix(np.array([2, 0, 1]), 0.5, (1, 2, 3, 7))
    )  # rows 1 and 2, columns 2 to 6
    expected = before.numpy().copy()
    expected[:, 1:3, 2:7] = before.numpy()[[2, 0, 1], 1:3, 2:7]
    assert mixed.dtype == torch.uint8
    np.testing.assert_array_equal(mixed.numpy(), expected)
    assert torch.equal(images_BHWC, before)


@pytest.mark.parametrize("step", range(40))
def test_the_label_of_a_cut_image_weighs_exactly_the_area_that_remains(step):
    generator = rng.generator(0, "mix", 0, step)
    mix = draw_mix(Augmentation(cutmix=1.0), generator, 6, 16)
    top, left, bottom, right = mix.box
    assert 0 <= top <= bottom <= 16
    assert 0 <= left <= right <= 16
    ones = torch.ones(6, 16, 16, 1, dtype=torch.uint8)
    image = torch.where(torch.arange(6)[:, None, None, None] == 0, ones, 0)
    pasted = apply_mix(image, Mix(np.array([1, 0, 2, 3, 4, 5]), mix.kept, mix.box))
    assert mix.kept == pasted[0].sum().item() / 16**2
    assert sorted(mix.partner_B) == list(range(6))


def test_the_box_of_a_cut_has_the_drawn_share_of_the_image_unless_the_border_cuts_it():
    inside = 0
    for step in range(200):
        share = 1 - rng.generator(0, "mix", 0, step).beta(1.0, 1.0)  # Yun et al. 2019, eq. 2
        mix = draw_mix(Augmentation(cutmix=1.0), rng.generator(0, "mix", 0, step), 4, 64)
        top, left, bottom, right = mix.box
        assert bottom - top <= 64 * share**0.5 + 1.5
        assert right - left <= 64 * share**0.5 + 1.5
        if top > 0 and bottom < 64:
            assert abs(bottom - top - 64 * share**0.5) <= 1.5
        if left > 0 and right < 64:
            assert abs(right - left - 64 * share**0.5) <= 1.5
        inside += min(top, left) > 0 and max(bottom, right) < 64
    assert inside > 20


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_weight_of_mixup_follows_its_beta_distribution(alpha):
    kept = [
        draw_mix(Augmentation(mixup=alpha), rng.generator(0, "mix", 0, s), 2, 8).kept for s in range(2000)
    ]
    assert abs(np.mean(kept) - 0.5) < 0.03
    assert np.var(kept) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)  # of Beta(a, a)


def test_with_both_kinds_of_mixing_each_batch_gets_one_by_a_fair_coin():
    both = Augmentation(mixup=0.4, cutmix=1.0)
    boxes = [draw_mix(both, rng.generator(0, "mix", 0, step), 4, 8).box for step in range(1000)]
    assert abs(np.mean([box is None for box in boxes]) - 0.5) < 0.05
