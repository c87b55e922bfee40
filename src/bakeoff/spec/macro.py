"""A convolutional network as plain data: in a study, from a search, in a record; `models.macro` builds it.

Nothing is drawn and nothing depends on the images' size, so that the description is the network.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bakeoff.spec.base import Setting

Block = Literal["plain", "residual", "separable"]
Activation = Literal["relu", "silu", "gelu"]


class MacroStage(Setting):
    """Blocks of one width, behind a layer that changes to it."""

    width: int = Field(ge=1, le=4096)  # channels
    depth: int = Field(default=1, ge=0, le=64)  # blocks behind the layer that enters the stage
    # Kind of blocks. plain: one convolution; residual: two beside the way around them; separable: two
    # depthwise separable ones beside it, and the layer that enters is depthwise separable too
    block: Block = "residual"
    kernel: Literal[3, 5] = 3  # pixels of a side of its convolutions
    # How the layer that enters makes the maps half as large, if it does: by 2x2 maximum, or by its stride
    down: Literal["none", "pool", "stride"] = "none"


class Macro(Setting):
    """A stem, stages, and a head of one dense layer behind a global pool."""

    # Pixels of a side that become channels before anything else: 2 makes 12 channels of half the size
    # ("space to depth", "pixel unshuffle"), on which a convolution costs a quarter
    patch: Literal[1, 2, 4] = 1
    # Pixels of a side of the patches that a first convolution decorrelates; training images set its
    # filters, which stay fixed; `patch` becomes its stride. 0 is off
    whiten: Literal[0, 2, 3, 4] = 0
    # First convolution, 3x3: of stride 1, of stride 2, or two of them, the second of stride 2
    stem: Literal["plain", "stride", "deep"] = "plain"
    stem_width: int = Field(ge=1, le=4096)  # channels
    stages: tuple[MacroStage, ...] = Field(min_length=1, max_length=16, strict=False)  # behind the stem
    norm: Literal["batch", "none"] = "batch"  # behind every convolution
    activation: Activation = "relu"  # behind every normalization
    attention: Literal["none", "se"] = "none"  # squeeze-and-excitation at the end of every block
    head: Literal["average", "max"] = "average"  # global pool
    dropout: float = Field(default=0.0, ge=0, lt=1)  # before the dense layer
    zero_init_last: bool = True  # residual blocks begin as the way around them: their last norm at zero
    # Convolutions begin by passing on as many channels as they can ("dirac"), beside filters drawn as usual
    identity_start: bool = False

    @model_validator(mode="after")
    def _check(self) -> Macro:
        if 0 < self.whiten < self.patch:
            raise ValueError(
                f"whiten: got {self.whiten} with a patch of {self.patch}, expected no less than the patch, "
                "as pixels would be left out"
            )
        return self

    @property
    def words(self) -> str:
        """The network in a few words.

        >>> Macro(stem_width=16, stages=(MacroStage(width=32, depth=2),)).words
        'residual 32x2, stem plain 16, relu'
        """
        kinds = list(dict.fromkeys(stage.block for stage in self.stages))
        sizes = " ".join(f"{stage.width}x{stage.depth}" for stage in self.stages)
        kernels = sorted({stage.kernel for stage in self.stages} - {3})
        extra = [f"patch {self.patch}"] * (self.patch > 1) + [f"whitened {self.whiten}"] * (self.whiten > 0)
        extra += [f"kernel {kernel}" for kernel in kernels]
        extra += ["no normalization"] * (self.norm == "none") + [self.attention] * (self.attention != "none")
        extra += ["identity start"] * self.identity_start
        extra += [f"{self.head} pool"] * (self.head != "average")
        extra += [f"dropout {self.dropout:.2g}"] * (self.dropout > 0)
        told = [f"{'/'.join(kinds)} {sizes}", f"stem {self.stem} {self.stem_width}", self.activation, *extra]
        return ", ".join(told)
