"""The loss of a batch, against torch's cross-entropy in its own words."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from bakeoff.data.batches import Batch
from bakeoff.training.objective import Objective, balanced_weights

CLASSES = 4
LABELS = torch.tensor([0, 3, 1, 1, 2, 0])
PARTNERS = torch.tensor([1, 0, 3, 2, 1, 0])
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 4.0])
PICTURES = torch.zeros(6, 1, 1, 3, dtype=torch.uint8)  # the loss does not look at them


@pytest.fixture
def logits_BK():
    return 3 * torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float32)


def _one_hot(labels_B, smoothing=0.0):
    return (1 - smoothing) * functional.one_hot(labels_B, CLASSES) + smoothing / CLASSES


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_mixing_it_is_torchs_cross_entropy(logits_BK, smoothing):
    loss = Objective(smoothing)(logits_BK, Batch(PICTURES, LABELS))
    expected = functional.cross_entropy(logits_BK, LABELS, label_smoothing=smoothing)
    assert loss.item() == expected.item()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kept", [0.0, 0.3, 1.0])
def test_mixing_equals_soft_labels(logits_BK, smoothing, kept):
    loss = Objective(smoothing)(logits_BK, Batch(PICTURES, LABELS, PARTNERS, kept))
    soft_BK = kept * _one_hot(LABELS, smoothing) + (1 - kept) * _one_hot(PARTNERS, smoothing)
    assert loss.item() == pytest.approx(functional.cross_entropy(logits_BK, soft_BK).item(), rel=1e-6)


def test_class_weights_weigh_each_images_loss_and_the_mean_is_over_the_images(logits_BK):
    loss = Objective(0.0, WEIGHTS)(logits_BK, Batch(PICTURES, LABELS))
    by_image = -torch.log_softmax(logits_BK, 1)[range(6), LABELS]
    assert loss.item() == pytest.approx((WEIGHTS[LABELS] * by_image).sum().item() / 6, rel=1e-6)
    # Torch divides by the sum of the weights instead.
    torchs = functional.cross_entropy(logits_BK, LABELS, WEIGHTS) * WEIGHTS[LABELS].sum() / 6
    assert loss.item() == pytest.approx(torchs.item(), rel=1e-6)


def test_with_class_weights_a_mixed_image_weighs_by_both_its_labels(logits_BK):
    loss = Objective(0.0, WEIGHTS)(logits_BK, Batch(PICTURES, LABELS, PARTNERS, 0.25))
    soft_BK = 0.25 * _one_hot(LABELS) * WEIGHTS + 0.75 * _one_hot(PARTNERS) * WEIGHTS
    assert loss.item() == pytest.approx(
        -(soft_BK * torch.log_softmax(logits_BK, 1)).sum().item() / 6, rel=1e-6
    )


def test_half_precision_logits_give_a_loss_in_single_precision(logits_BK):
    half_BK = logits_BK.bfloat16().requires_grad_()
    loss = Objective(0.1)(half_BK, Batch(PICTURES, LABELS))
    assert loss.dtype == torch.float32
    expected = functional.cross_entropy(half_BK.float(), LABELS, label_smoothing=0.1)
    assert loss.item() == expected.item()


def test_balanced_weights_make_every_class_count_alike():
    labels_N = np.array([0] * 6 + [1] * 3 + [2] * 1 + [3] * 2)
    weights_K = balanced_weights(labels_N, CLASSES)
    np.testing.assert_allclose(weights_K.numpy() * np.bincount(labels_N), 12 / 4, rtol=1e-6)
    assert weights_K.dtype == torch.float32
    assert weights_K[labels_N].mean().item() == pytest.approx(1)


def test_a_class_without_training_images_has_a_finite_weight():
    assert torch.isfinite(balanced_weights(np.array([0, 0, 2]), 3)).all()
