"""What is trained, scored and shipped as one module: preprocessing and a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from bakeoff import rng
from bakeoff.data.preprocess import Preprocess
from bakeoff.models.architecture import Architecture, build_network, interpolation_of
from bakeoff.models.convolutions import hasten_convolutions


class Classifier(nn.Module):
    """Turn bytes (B, H, W, 3) into logits (B, K)."""

    def __init__(self, preprocess: Preprocess, network: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network

    def forward(self, images_BHWC: Tensor) -> Tensor:
        """Preprocess and classify; accepts bytes, or floats on the same scale."""
        logits_BK: Tensor = self.network(self.preprocess(images_BHWC))
        return logits_BK


def build_classifier(
    model: Architecture,
    *,
    classes: int,
    input_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    base_dir: Path,
    trained: bool = True,
) -> Classifier:
    """Build a network with the initial weights of a seed, and its preprocessing, on the processor.

    The weights come from the stream (seed, "init"); the global generator is left as it was.

    Args:
        model: What the network is: a name, or how it is built on a trained one.
        classes: Outputs.
        input_size: Pixels of both sides that the network takes.
        mean: Of each channel, 0..255.
        std: Of each channel, 0..255.
        seed: The run's.
        base_dir: Where a relative path to a file starts.
        trained: Whether the weights of a source are read.

    Returns:
        In training mode, on the processor.

    Raises:
        BakeoffError: There is no such model, or the user's own cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.key(seed, "init"))
        network = build_network(
            model, classes=classes, image_size=input_size, base_dir=base_dir, trained=trained
        )
    hasten_convolutions(network)
    return Classifier(Preprocess(mean, std, input_size, interpolation_of(model)), network)


@contextmanager
def showing(model: nn.Module, pixels: int | None) -> Iterator[None]:
    """Let a classifier see its images in another size than its own; None changes nothing."""
    preprocess = getattr(model, "preprocess", None)
    if pixels is None or not isinstance(preprocess, Preprocess):
        yield
        return
    own = preprocess.input_size
    preprocess.input_size = pixels
    try:
        yield
    finally:
        preprocess.input_size = own


def placed(model: Classifier, device: torch.device) -> Classifier:
    """Move a model to a device, its convolutions laid out channels-last, which is faster on all of them."""
    model.to(device)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:  # `model.to` would fail for five axes, which have no such layout
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return model
