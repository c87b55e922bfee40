"""Dropout whose mask is drawn four numbers at a time.

On a processor torch draws a mask one value after the other: 0.9 ms for 64 x 1024 values, more
than all the rest of a step of a small head (docs/findings.md, 2026-11-24). Whole 64-bit numbers
of the same generator hold four thresholds each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 2**16  # a rate is a whole number of these parts; the scale fits it exactly


class Dropout(nn.Dropout):
    """Dropout of single values, at its rate rounded to 1 / 65,536.

    Source: Srivastava et al., JMLR 15, 2014, with the scale in training, as torch and Keras have it.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Drop values in training, and enlarge those that stay."""
        dropped = round(self.p * LEVELS)
        if not self.training or values.device.type != "cpu" or not 0 < dropped < LEVELS:
            return super().forward(values)
        count = values.numel()
        words = torch.randint(-(2**63), 2**63 - 1, (-(-count // 4),))
        level = words.view(torch.int16)[:count].view(values.shape)
        scale = (level >= dropped - LEVELS // 2).to(values.dtype)
        return values * scale.mul_(LEVELS / (LEVELS - dropped))  # four times as fast as torch.where in bf16
