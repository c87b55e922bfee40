"""The data sources that have a name; adding one is adding an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.cifar10 import open_cifar10
from bakeoff.data.download import Official
from bakeoff.data.embedded import open_digits
from bakeoff.data.source import Listing, Opening
from bakeoff.data.tiny_imagenet import open_tiny_imagenet
from bakeoff.registry import Registry


@dataclass(frozen=True, kw_only=True)
class SourceEntry:
    """A named source: how it is opened, where it may lie, where it comes from."""

    open: Callable[[Path, Opening], Listing]
    provenance: str
    names: tuple[str, ...] = ()  # in the data folder, the first one found is used; none: needs no files
    official: Official | None = None


SOURCES: Registry[SourceEntry] = Registry("data source")

SOURCES.register("tiny-imagenet", SourceEntry(
    open=open_tiny_imagenet,
    provenance="Le and Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N, Stanford 2015",
    names=("tiny-imagenet-200", "tiny-imagenet", "tiny-imagenet-200.zip"),
    official=Official(
        url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        md5="90528d7ca1a48142e341f4ef8d21d0de",
        file="tiny-imagenet-200.zip",
    ),
))  # fmt: skip

SOURCES.register("cifar10", SourceEntry(
    open=open_cifar10,
    provenance="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    names=("cifar10", "cifar-10", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
    official=Official(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        file="cifar-10-python.tar.gz",
    ),
))  # fmt: skip

SOURCES.register("digits", SourceEntry(
    open=open_digits,
    provenance="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
))  # fmt: skip
