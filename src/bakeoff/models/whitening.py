"""A first convolution that images set and no step moves: it takes the likeness of neighbouring pixels apart.

Neighbouring pixels of photographs are nearly equal, so that the first steps of a training go into finding
their differences. Here the filters are the principal components of small patches of the training images,
each divided by its standard deviation, and their negatives (an activation follows); only the bias learns.

Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, section 3.2; after
Page, "How to Train Your ResNet", 2019, part 8 (patch-whitening).

Shape letters: B images, C channels, H rows, W columns, P values of a patch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class SetByImages(Protocol):
    """A layer that is shown training images before the first step."""

    def set_by(self, batches: Iterable[Tensor]) -> None:
        """Set itself by its inputs, images_BCHW as the network gets them; by the same ones, the same way."""


class Whitening(nn.Conv2d):
    """Fixed filters for colour images, 6 x side x side of them; every output is of a whole patch.

    Until it has been shown images its filters are drawn as any convolution's.

    Args:
        side: Of a patch, pixels.
        stride: Pixels between patches.
    """

    eps = 5e-4  # added to variances, so that a component of nearly none is not blown up; Jordan's value
    places = 1024  # of an image, that are looked at; about so many, evenly spaced

    def __init__(self, side: int, stride: int = 1) -> None:
        super().__init__(3, 6 * side * side, side, stride=stride)
        drawn = self.weight.detach()
        del self.weight
        self.register_buffer("weight", drawn)  # no parameter: nothing that thaws a network makes it move

    def set_by(self, batches: Iterable[Tensor]) -> None:
        """Set filters and first bias by images_BCHW: outputs are uncorrelated and of mean zero."""
        side, size = self.kernel_size[0], self.weight[0].numel()
        products_PP = torch.zeros(size, size, dtype=torch.float64, device=self.weight.device)
        sums_P, count = products_PP[0].clone(), 0
        for images_BCHW in batches:
            pixels = images_BCHW.shape[2] * images_BCHW.shape[3]
            apart = max(1, math.ceil(math.sqrt(pixels / self.places)))
            patches = images_BCHW.float().unfold(2, side, apart).unfold(3, side, apart)
            rows_RP = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, size)  # as a filter's weights lie
            products_PP += (rows_RP.t() @ rows_RP).double()
            sums_P += rows_RP.sum(0).double()
            count += len(rows_RP)
        if not count:
            return
        mean_P = sums_P / count
        variances_P, vectors_PP = torch.linalg.eigh(products_PP / count - mean_P.outer(mean_P))
        strongest = vectors_PP.abs().argmax(0, keepdim=True)  # an eigenvector's sign is free
        vectors_PP = vectors_PP * vectors_PP.gather(0, strongest).sign()
        filters_PP = (vectors_PP / (variances_P.clamp(min=0) + self.eps).sqrt()).flip(1).t()
        with torch.no_grad():
            self.weight.copy_(torch.cat([filters_PP, -filters_PP]).reshape(self.weight.shape))
            if self.bias is not None:
                self.bias.copy_(torch.cat([-filters_PP @ mean_P, filters_PP @ mean_P]))


def set_by_images(network: nn.Module) -> SetByImages | None:
    """Find the layer that is shown images: a network's first one, if it is such."""
    first = next(iter(network.children()), None)
    return first if isinstance(first, SetByImages) else None
