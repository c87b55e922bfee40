"""A first convolution that is measured and not learned: it takes the likeness of neighbouring pixels apart.

Neighbouring pixels of photographs are nearly equal, so that the first steps of a training go into finding
their differences. Here the filters are the principal components of small patches of the training images,
each divided by its standard deviation, and their negatives (an activation follows); only the bias learns.

Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, section 3.2; after
Page, "How to Train Your ResNet", 2019, part 8 (patch-whitening).

Shape letters: B images, C channels, H rows, W columns, P values of a patch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Measured(Protocol):
    """A layer that wants to see training images before the first step."""

    def measure(self, batches: Iterable[Tensor]) -> None:
        """Set itself by its inputs, images_BCHW as the network gets them; the same ones, the same way."""


class Whitening(nn.Conv2d):
    """Fixed filters for colour images, 6 x side x side of them; every output is of a whole patch.

    Until images have been measured the filters are drawn as any convolution's.

    Args:
        side: Of a patch, pixels.
        stride: Pixels between patches.
    """

    eps = 5e-4  # added to variances, so that a component of nearly none is not blown up; Jordan's value

    def __init__(self, side: int, stride: int = 1) -> None:
        super().__init__(3, 6 * side * side, side, stride=stride)
        drawn = self.weight.detach()
        del self.weight
        self.register_buffer("weight", drawn)  # no parameter: nothing that thaws a network makes it move

    def measure(self, batches: Iterable[Tensor]) -> None:
        """Set the filters by images_BCHW, whose mean is zero; the bias becomes zero."""
        side, size = self.kernel_size[0], self.weight[0].numel()
        total_PP, count = torch.zeros(size, size, dtype=torch.float64, device=self.weight.device), 0
        for images_BCHW in batches:
            places = images_BCHW.float().unfold(2, side, self.stride[0]).unfold(3, side, self.stride[0])
            rows_RP = places.permute(0, 2, 3, 1, 4, 5).reshape(-1, size)  # as a filter's weights lie
            total_PP += (rows_RP.t() @ rows_RP).double()
            count += len(rows_RP)
        if not count:
            return
        variances_P, vectors_PP = torch.linalg.eigh(total_PP / count)
        strongest = vectors_PP.abs().argmax(0, keepdim=True)  # an eigenvector's sign is free
        vectors_PP = vectors_PP * vectors_PP.gather(0, strongest).sign()
        filters_PP = (vectors_PP / (variances_P.clamp(min=0) + self.eps).sqrt()).flip(1).t()
        with torch.no_grad():
            self.weight.copy_(torch.cat([filters_PP, -filters_PP]).reshape(self.weight.shape))
            if self.bias is not None:
                self.bias.zero_()


def first_measured(network: nn.Module) -> Measured | None:
    """Find the layer to be measured: a network's first one, if it is such."""
    first = next(iter(network.children()), None)
    return first if isinstance(first, Measured) else None
