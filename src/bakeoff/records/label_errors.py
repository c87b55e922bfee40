"""Which images of a task are worth a look, as plain values: labels that may be wrong, and odd images."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from pydantic import TypeAdapter

from bakeoff.records.run import Scored


@dataclass(frozen=True, kw_only=True)
class DoubtedLabel:
    """An image whose label the networks contradict."""

    index: int  # into the task's images
    part: Scored
    file: str  # its name in the source
    label: int
    suggested: int  # the class that they would give it
    label_probability: float  # averaged over the runs
    suggested_probability: float
    runs_for: int  # of those asked, that answer the suggested class


@dataclass(frozen=True, kw_only=True)
class Outlier:
    """An image on which every run is unsure and wrong."""

    index: int
    part: Scored
    file: str
    label: int
    loss: float  # mean over the runs, nats
    entropy: float  # mean over the runs, as a share of that of a uniform guess
    runs_right: int  # of those asked


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """What the runs of a task say of its validation and test images, as `label_errors.json` holds it."""

    of: list[str]  # identities of the runs that were asked
    candidates: list[str]  # whose probabilities are averaged
    runs: int  # that are averaged
    asked: int  # runs that were asked in all
    images: int
    accuracy: float  # of the averaged probabilities
    doubted: int  # labels that confident learning doubts
    # How surely the labels shown are contradicted: images on which the average is as sure as on the least
    # sure of them, how many of these contradict their label, how many would by its own calibrated doubt
    as_sure: int
    as_sure_against: int
    as_sure_expected: float
    labels: list[DoubtedLabel] = field(default_factory=list)  # the most doubtful first
    outliers: list[Outlier] = field(default_factory=list)  # the oddest first


@cache
def label_errors_adapter() -> TypeAdapter[LabelErrors]:
    """Make what checks the types of the file, once."""
    return TypeAdapter(LabelErrors)
