"""A network cut where its frozen part ends, so that this part is computed once for every image.

Shape letters: B images, F features, K classes; H rows, W columns, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from bakeoff.models.transfer import Stacked, is_row, is_sequence, owns_weights


class Beginning(nn.Module):
    """The part of a classifier that computes the same for an image at every step of training."""

    def __init__(self, preprocess: nn.Module, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.layers = nn.ModuleList(layers)

    def forward(self, images_BHWC: Tensor) -> Tensor:
        """Compute features from bytes."""
        values: Tensor = self.preprocess(images_BHWC)
        for layer in self.layers:
            values = layer(values)
        return values

    def describe(self) -> list[str]:
        """Say what the layers are, one line each."""
        return [str(layer) for layer in self.layers]


class Rest(nn.Module):
    """The part of a stacked network behind its frozen beginning; its layers are the network's own."""

    def __init__(self, network: Stacked, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.network = network  # whole, so that switching to training keeps frozen layers in evaluation
        self._layers = tuple(layers)

    @property
    def is_head(self) -> bool:
        """Whether nothing but the head is left."""
        return not self._layers and not self.network.probabilities

    def forward(self, values_BF: Tensor) -> Tensor:
        """Compute logits_BK from what the beginning gives."""
        if values_BF.ndim == 4:  # as a convolution leaves its maps: another order sums to other last bits
            values_BF = values_BF.contiguous(memory_format=torch.channels_last)
        for layer in self._layers:
            values_BF = layer(values_BF)
        if self.network.probabilities:
            values_BF = values_BF.softmax(dim=1)
        logits_BK: Tensor = self.network.head(values_BF)
        return logits_BK


def split_frozen(preprocess: nn.Module, network: Stacked) -> tuple[Beginning, Rest] | None:
    """Cut a network behind the last of its first layers that never change what they compute.

    Those are frozen, or without weights and chance; and the cut is in front of the first dense
    layer among them. A product of matrices may sum in another order where a batch has another
    size (docs/findings.md, 2026-11-26), so what is kept would have other last bits than what a
    batch of the training has; convolutions and pools look at one image at a time.

    What is no plain sequence of layers is taken whole or not at all. Dense layers inside of it, as
    a transformer has them in every block, cannot be cut off, and computing all of it for every
    batch would cost far more than rounding: what it gives is kept, equal up to the last bits.

    Args:
        preprocess: From bytes to what the network takes.
        network: Its layers are used, not copied.

    Returns:
        Both parts; None when not even one layer with weights is frozen in front.
    """
    base = list(_in_a_base(network.base))
    frozen = set(network.frozen)
    count = next(
        (k for k, layer in enumerate(base) if isinstance(layer, nn.Linear) or not _constant(layer, frozen)),
        len(base),
    )
    if not any(True for layer in base[:count] for _ in layer.parameters()):
        return None
    return Beginning(preprocess, base[:count]), Rest(network, base[count:])


def _in_a_row(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers that a network computes one after the other, those of its sequences one by one."""
    if isinstance(network, Stacked):
        yield from _in_a_base(network.base)
        if network.probabilities:
            yield nn.Softmax(dim=1)
        yield from _in_a_row(network.head)
    elif is_sequence(network):
        for layer in network:
            yield from _in_a_row(layer)
    else:
        yield network


def _in_a_base(base: nn.Module) -> Iterator[nn.Module]:
    """Yield the same of the network that another one stands on."""
    for layer in base if is_row(base) else [base]:
        yield from _in_a_row(layer)


def _constant(layer: nn.Module, frozen: set[nn.Module]) -> bool:
    """Tell whether a layer computes the same in every step."""
    leaves = [m for m in layer.modules() if next(m.children(), None) is None]
    owners = [m for m in layer.modules() if owns_weights(m)]
    random = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return all(m in frozen for m in owners) and all(
        m in frozen or not (isinstance(m, random) or next(m.buffers(recurse=False), None) is not None)
        for m in leaves
    )
