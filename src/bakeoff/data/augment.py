"""Random changes to a batch of training images, as tensors: drawn first, applied second.

Drawing takes a NumPy generator and gives plain arrays; applying is a pure function of
images and those arrays, so that it can be tested without luck. Crops and flips move
bytes (uint8 in, uint8 out); mixing blends and gives floats on the same 0..255 scale.

On a CPU the pixels are moved and blended by NumPy. The batches are made in a thread of
their own, where an operator of PyTorch that is large enough to run in parallel starts a
second set of OpenMP threads; a step of training beside it was a tenth slower
(docs/findings.md, 2026-11-23).

Shape letters: B images, H rows, W columns, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bakeoff import rng
from bakeoff.spec import Augmentation
from bakeoff.spec.recipe import TestViews


@dataclass(frozen=True, slots=True)
class Moves:
    """How each image of a batch is shifted and mirrored."""

    down_B: np.ndarray  # rows, positive moves the window down, in [-crop, crop]
    right_B: np.ndarray  # columns, likewise
    mirror_B: np.ndarray  # bool


@dataclass(frozen=True, slots=True)
class Mix:
    """How each image of a batch is blended with a partner from the same batch."""

    partner_B: np.ndarray  # a permutation of the batch
    kept: float  # share of the image itself, in [0, 1]; also the weight of its label
    box: (
        tuple[int, int, int, int] | None
    )  # top, left, bottom, right of the pasted part; None blends all pixels


def draw_moves(
    augmentation: Augmentation, seed: int, epoch: int, step: int, image_B: np.ndarray
) -> Moves | None:
    """Draw the shifts and mirrorings of one batch; None when the recipe asks for neither.

    Args:
        augmentation: The recipe's settings.
        seed: The run's seed.
        epoch: Counted from 0.
        step: Within the epoch, counted from 0.
        image_B: The images' indices; alternating flip gives every image its own phase.

    Returns:
        What `apply_moves` takes, or None.

    Source:
        Alternating flip: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU",
        arXiv 2404.00498, section 3.6.
    """
    if augmentation.crop == 0 and augmentation.flip == "none":
        return None
    count = len(image_B)
    shift = rng.generator(seed, "crop", epoch, step)
    down_B, right_B = shift.integers(-augmentation.crop, augmentation.crop + 1, size=(2, count))
    if augmentation.flip == "random":
        mirror_B = rng.generator(seed, "flip", epoch, step).random(count) < 0.5
    elif augmentation.flip == "alternating":
        mirror_B = (_phase(image_B, rng.key(seed, "flip")) + epoch) % 2 == 1
    else:
        mirror_B = np.zeros(count, dtype=bool)
    return Moves(down_B, right_B, mirror_B)


def _phase(image_B: np.ndarray, key: int) -> np.ndarray:
    """Hash image indices into 0 or 1 (the finalizer of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z_B = (image_B.astype(np.uint64) + np.uint64(key)) * np.uint64(0x9E3779B97F4A7C15)
        z_B = (z_B ^ (z_B >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z_B = (z_B ^ (z_B >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    phase_B: np.ndarray = ((z_B ^ (z_B >> np.uint64(31))) & np.uint64(1)).astype(np.int64)
    return phase_B


def apply_moves(images_BHWC: Tensor, moves: Moves) -> Tensor:
    """Shift and mirror each image; what comes in over the border is its reflection.

    Equal to reflecting a border around the image, cutting a window of the same size
    out of it, and mirroring that window, without building the larger image.

    >>> row = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 4, 1)
    >>> one, zero = np.array([1]), np.array([0])
    >>> apply_moves(row, Moves(zero, one, np.array([False]))).flatten().tolist()
    [1, 2, 3, 2]
    >>> apply_moves(row, Moves(zero, zero, np.array([True]))).flatten().tolist()
    [3, 2, 1, 0]
    """
    _, height, width, _ = images_BHWC.shape
    rows_BH = _reflected(np.arange(height) + moves.down_B[:, None], height)
    columns_BW = np.arange(width) + moves.right_B[:, None]
    columns_BW = np.where(moves.mirror_B[:, None], columns_BW[:, ::-1], columns_BW)
    columns_BW = _reflected(columns_BW, width)
    device = images_BHWC.device
    if device.type == "cpu":
        return torch.from_numpy(_gathered(images_BHWC.numpy(), rows_BH, columns_BW))
    rows_BH1 = torch.from_numpy(rows_BH).to(device, non_blocking=True)[:, :, None]
    columns_B1W = torch.from_numpy(columns_BW).to(device, non_blocking=True)[:, None, :]
    return _gathered_on_device(images_BHWC, rows_BH1, columns_B1W)


def _gathered_on_device(images_BHWC: Tensor, rows_BH1: Tensor, columns_B1W: Tensor) -> Tensor:
    """Take rows and columns of each image."""
    image_B11 = torch.arange(len(images_BHWC), device=images_BHWC.device)[:, None, None]
    return images_BHWC[image_B11, rows_BH1, columns_B1W]


def _gathered(images_BHWC: np.ndarray, rows_BH: np.ndarray, columns_BW: np.ndarray) -> np.ndarray:
    """Take rows and columns of each image, a pixel of all channels as one item."""
    count, height, width, channels = images_BHWC.shape
    row_BH = np.arange(count)[:, None] * height + rows_BH
    position_BHW = row_BH[:, :, None] * width + columns_BW[:, None, :]
    pixels = np.ascontiguousarray(images_BHWC).view(f"V{channels}").reshape(-1)
    moved_BHWC: np.ndarray = pixels.take(position_BHW)[..., None].view(np.uint8)
    return moved_BHWC


def evaluation_views(images_BHWC: Tensor, views: TestViews) -> list[tuple[float, Tensor]]:
    """List the forms in which images are evaluated, each with its weight; weights sum to 1.

    Args:
        images_BHWC: Bytes.
        views: ``"one"`` is the images alone, ``"mirror"`` also their mirror images. ``"six"`` are these
            two, and both shifted up and left and down and right by a 32nd of the image, which
            have a quarter of the weight each pair.

    Returns:
        Weights and images of the same shape.

    Source:
        Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, section 3.5.
    """
    if views == "one":
        return [(1.0, images_BHWC)]
    count, side = len(images_BHWC), min(images_BHWC.shape[1:3])
    shift = max(1, round(side / 32))
    moved = [(1.0, 0)] if views == "mirror" else [(0.5, 0), (0.25, -shift), (0.25, shift)]
    found = []
    for weight, by in moved:
        for mirror in (False, True):
            moves = Moves(np.full(count, by), np.full(count, by), np.full(count, mirror))
            found.append((weight / 2, apply_moves(images_BHWC, moves) if by or mirror else images_BHWC))
    return found


def _reflected(position: np.ndarray, size: int) -> np.ndarray:
    """Bring positions outside [0, size) back by reflection at the border pixels."""
    if size == 1:
        return np.zeros_like(position)
    period = 2 * (size - 1)
    position = np.abs(position) % period
    reflected: np.ndarray = np.minimum(position, period - position)
    return reflected


def draw_mix(augmentation: Augmentation, generator: np.random.Generator, count: int, side: int) -> Mix | None:
    """Draw how a batch is mixed; None when the recipe asks for no mixing.

    With both mixup and cutmix, each batch gets one of them, by a fair coin.

    Args:
        augmentation: The recipe's settings; `mixup` and `cutmix` are the alpha of
            their beta distribution.
        generator: The stream of this step.
        count: Images in the batch.
        side: Pixels of an image's side.

    Returns:
        What `apply_mix` takes, or None.

    Source:
        Zhang et al., "mixup", ICLR 2018, eq. 1 and 2. Yun et al., "CutMix", ICCV
        2019, eq. 1 and 2; the label's weight is the exact area that remains.
    """
    if augmentation.mixup == 0 and augmentation.cutmix == 0:
        return None
    cut = augmentation.cutmix > 0 and (augmentation.mixup == 0 or generator.random() < 0.5)
    alpha = augmentation.cutmix if cut else augmentation.mixup
    kept = float(generator.beta(alpha, alpha))
    partner_B = generator.permutation(count)
    if not cut:
        return Mix(partner_B, kept, None)
    half = round(side * float(np.sqrt(1 - kept))) / 2
    row, column = generator.uniform(0, side, size=2)
    top, bottom = (int(np.clip(round(row + sign * half), 0, side)) for sign in (-1, 1))
    left, right = (int(np.clip(round(column + sign * half), 0, side)) for sign in (-1, 1))
    return Mix(partner_B, 1 - (bottom - top) * (right - left) / side**2, (top, left, bottom, right))


def apply_mix(images_BHWC: Tensor, mix: Mix) -> Tensor:
    """Blend each image with its partner, or paste the partner's box into it.

    Args:
        images_BHWC: Bytes.
        mix: The draw for this batch.

    Returns:
        Blended images as float32 on the scale of the bytes (0..255); images with a
        pasted box stay bytes.
    """
    if images_BHWC.device.type == "cpu":
        return torch.from_numpy(_mixed(images_BHWC.numpy(), mix))
    return _mixed_on_device(images_BHWC, mix)


def _mixed(images_BHWC: np.ndarray, mix: Mix) -> np.ndarray:
    """Mix arrays."""
    if mix.box is None:
        mixed_BHWC = images_BHWC.astype(np.float32)
        partners_BHWC = mixed_BHWC[mix.partner_B]
        mixed_BHWC *= np.float32(mix.kept)
        partners_BHWC *= np.float32(1 - mix.kept)
        mixed_BHWC += partners_BHWC
        return mixed_BHWC
    top, left, bottom, right = mix.box
    mixed_BHWC = images_BHWC.copy()
    mixed_BHWC[:, top:bottom, left:right] = images_BHWC[mix.partner_B, top:bottom, left:right]
    return mixed_BHWC


def _mixed_on_device(images_BHWC: Tensor, mix: Mix) -> Tensor:
    """Mix tensors."""
    partner_B = torch.from_numpy(mix.partner_B).to(images_BHWC.device)
    if mix.box is None:
        images = images_BHWC.float()
        return images.mul(mix.kept).add_(images[partner_B], alpha=1 - mix.kept)
    top, left, bottom, right = mix.box
    mixed_BHWC = images_BHWC.clone()
    mixed_BHWC[:, top:bottom, left:right] = images_BHWC[partner_B, top:bottom, left:right]
    return mixed_BHWC
