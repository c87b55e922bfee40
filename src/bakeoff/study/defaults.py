"""What is chosen for those who do not say: optimizer, batch, length, augmentation.

A start that is hard to be disappointed by, not the best there is; docs/findings.md has what it was chosen by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bakeoff.data.survey import Survey
from bakeoff.models.catalog import build_model, check_model
from bakeoff.models.summary import summarise
from bakeoff.models.user_file import is_user_model
from bakeoff.training.cost import BACKWARD
from bakeoff.training.loop import own_global_state
from bakeoff.training.muon import is_matrix, multiplications

SMALL = "bakenet-s"  # that starts fresh where nobody names a network
SCRATCH_IMAGES = 600_000  # seen in all by a network that starts fresh, between 10 and 60 epochs
TUNING_IMAGES = 20_000  # seen in all by a network that is fine-tuned, between 3 and 20 epochs
MUON_SHARE = 0.25  # of a step's multiplications, beyond which Muon's own are too many for what they gain
MUON = {"name": "muon", "lr": 0.02, "weight_decay": 0.02, "momentum": 0.95}
ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05}
TUNING = {"name": "adamw", "lr": 3e-4, "weight_decay": 0.05}  # of what somebody has trained before
WRITTEN = ("digits", "torchvision:MNIST", "torchvision:SVHN", "torchvision:USPS", "torchvision:KMNIST",
           "torchvision:EMNIST", "torchvision:QMNIST", "torchvision:Omniglot",
           "torchvision:GTSRB")  # fmt: skip
# A mirrored letter, digit or traffic sign is another one.

Values = dict[str, Any]


def common_recipe(data: str, image_size: int, optimizer: Values) -> Values:
    """Choose what every training on images gets, of whatever length: optimizer, smoothing, augmentation."""
    return {
        "optimizer": dict(optimizer),
        "label_smoothing": 0.1,
        "augmentation": {
            "crop": max(1, image_size // 8),
            "flip": "none" if data in WRITTEN else "alternating",
        },
    }


def fresh_optimizer(model: str, *, classes: int, input_size: int, batch_size: int) -> Values:
    """Choose the optimizer of a network that starts fresh: Muon where it is cheap beside the network.

    What Muon multiplies depends on the weights alone. Beside a network that looks at each weight's pixels
    seldom (MobileNet on small images, or wide dense layers) it would take most of the time.

    Args:
        model: A registered name, or the user's own file and function.
        classes: Outputs.
        input_size: Pixels of a side.
        batch_size: Images of a step.

    Returns:
        Keys of an optimizer.

    Raises:
        BakeoffError: There is no such network, or it fails.
    """
    check_model(model, Path())  # before anything of a user's file runs
    # A user's network may ask for numbers, which one without memory has not.
    where = torch.device("cpu" if is_user_model(model) else "meta")
    with own_global_state(where), where:
        network = build_model(model, classes=max(classes, 2), image_size=input_size, base_dir=Path())
        own = summarise(network, input_size).multiplications
    moved = [weight for weight in network.parameters() if weight.requires_grad]
    in_matrices = sum(weight.numel() for weight in moved if is_matrix(weight))
    # What is no matrix moves by AdamW, but at Muon's rate.
    mostly = 2 * in_matrices > sum(weight.numel() for weight in moved)
    share = multiplications(moved) / max(1, BACKWARD * own * batch_size)
    return dict(MUON if mostly and share <= MUON_SHARE else ADAMW)


def fresh_epochs(found: Survey) -> int:
    """Choose the length of a training from scratch by the number of images."""
    return min(60, max(10, round(SCRATCH_IMAGES / max(found.images, 1))))


def tuning_epochs(found: Survey) -> int:
    """Choose the length of a fine-tuning by the number of images."""
    return min(20, max(3, round(TUNING_IMAGES / max(found.images, 1))))


def batch_size(found: Survey) -> int:
    """Choose smaller batches for few images, which would have too few steps."""
    return 64 if found.images >= 1000 else 16
