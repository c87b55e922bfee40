"""A candidate: one approach to a task."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bakeoff.spec.base import Name, Setting
from bakeoff.spec.macro import Macro
from bakeoff.spec.recipe import TimeText
from bakeoff.spec.search import DECIDED, SearchSpec
from bakeoff.units import Length


class Published(Setting):
    """What somebody else reported for this candidate; shown beside ours, never mixed in."""

    loss: float | None = None  # test cross-entropy, nats
    accuracy: float | None = Field(default=None, ge=0, le=1)  # test, a fraction
    validation_accuracy: tuple[float, ...] = Field(default=(), strict=False)  # by epoch
    validation_loss: tuple[float, ...] = Field(default=(), strict=False)  # by epoch
    training_accuracy: tuple[float, ...] = Field(default=(), strict=False)  # by epoch
    note: str = ""  # how it was reported; shown beside it


_NO_PROBE = ("tap", "head", "head_start", "train", "train_last", "source_norms", "source_lr", "layer_decay",
             "head_epochs", "unfreeze_epochs")  # fmt: skip
_OF_A_SOURCE = (*_NO_PROBE, "weights", "probe", "views")
_OF_A_NETWORK = (*_OF_A_SOURCE, "input_size")
PRETRAINED = "timm:"  # before the name of a network that somebody else has trained

Names = Annotated[tuple[str, ...], Field(strict=False)]
Word = Annotated[str, Field(min_length=1)]


class CandidateSpec(Setting):
    """One approach to one task (or to every task, when `task` is not given).

    A network is trained from scratch (`model` by name, `network` as described here), built on a
    trained one (`from`) or searched for (`search`); or somebody else's program answers (`external`).
    """

    name: Name  # in tables and commands
    task: str | None = None  # the name of a task; without, it enters all of them
    # From scratch: a registered name, or the user's own "my_net.py:build"
    model: str | None = Field(default=None, min_length=1)
    # From scratch: a network that is described in the study itself, stage by stage
    network: Macro | None = None
    # On a trained network: another candidate of the study, each seed on that one's same seed; or timm's,
    # as "timm:NAME", with the weights that it was published with; or a run of an earlier study, by its folder
    source: str | None = Field(default=None, alias="from", min_length=1)
    # Searched for: network and settings of its training, within a budget that pays for all of it
    search: SearchSpec | None = None
    # Somebody else's program, word by word: it is given the same images and seconds, and its probabilities
    # are read back (docs/external.md)
    external: Annotated[tuple[Word, ...], Field(strict=False, min_length=1)] | None = None
    # How long an external program may take beyond its seconds, to start and to predict; then it is killed
    grace: TimeText = Length(60, "seconds")
    tap: Literal["output", "features"] = "features"  # where the head is put: on the probabilities, or before
    # Dense layers by width and dropouts by rate, such as [1024, 0.5]; the dense layer of classes follows
    head: tuple[int | float, ...] = Field(default=(), strict=False)
    # The head's first weights: drawn at random, or a linear probe's, fitted before the first step (Kumar et
    # al. 2022, linear probing and then fine-tuning)
    head_start: Literal["random", "probe"] = "random"
    train: Literal["all", "head"] | Names = "all"  # what moves of the source: all, nothing, or these blocks
    # So many of the source's last layers move, and no others; counted as Keras counts
    train_last: int | None = Field(default=None, ge=0)
    # Batch normalization of what is taken over: statistics of each batch in training, moving averages of them
    # in evaluation; or the source's own in both, kept as they are. Those of frozen layers are always kept.
    source_norms: Literal["moving", "kept"] = "moving"
    # Rates of what is taken over, as factors of the recipe's; the head has 1. Each block has `layer_decay`
    # times the rate of the one above it (discriminative rates: Howard and Ruder 2018).
    source_lr: float = Field(default=1.0, gt=0, le=10)
    layer_decay: float = Field(default=1.0, gt=0, le=1)  # see `source_lr`
    head_epochs: int = Field(default=0, ge=0)  # epochs at first, in which the head trains alone
    # Epochs after these, for which each further block waits for the one above it; 0 lets all move at once
    unfreeze_epochs: int = Field(default=0, ge=0)
    # A linear probe: the last layer alone, as logistic regression whose penalty is chosen on validation;
    # the recipe's steps are not taken
    probe: bool = False
    # Augmented images of each training image, drawn once, that a frozen part computes and the epochs take
    # in turn; without it an augmented training runs every image through the whole network every time
    views: int | None = Field(default=None, ge=1, le=1000)
    weights: str | None = Field(default=None, min_length=1)  # of "timm:NAME": a file of one's own
    # Pixels of both sides that the network takes; images are resized on the device and stay the task's
    input_size: int | None = Field(default=None, ge=4)
    recipe: dict[str, Any] = Field(default_factory=dict)  # keys that differ from the task's recipe
    published: Published | None = None  # what somebody else reported, shown beside ours
    note: str = ""  # shown beside it

    @property
    def is_pretrained(self) -> bool:
        """Whether it is built on a network of timm."""
        return self.source is not None and self.source.startswith(PRETRAINED)

    @property
    def is_on_earlier(self) -> bool:
        """Whether it is built on an earlier study's run, by its folder; no candidate's name has a slash."""
        return self.source is not None and not self.is_pretrained and "/" in self.source

    @field_validator("head", mode="before")
    @classmethod
    def _widths_and_rates(cls, value: object) -> object:
        for entry in value if isinstance(value, list | tuple) else ():
            width = isinstance(entry, int) and not isinstance(entry, bool) and entry >= 1
            rate = isinstance(entry, float) and 0 < entry < 1
            if not (width or rate):
                raise ValueError(
                    f"head: got {entry!r}, expected widths (whole numbers of at least 1) "
                    "and rates of dropout (between 0 and 1)"
                )
        return value

    @field_validator("train", mode="before")
    @classmethod
    def _all_head_or_blocks(cls, value: object) -> object:
        blocks = isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value)
        if value in ("all", "head") or blocks:
            return value
        raise ValueError(f"train: got {value!r}, expected 'all', 'head' or a list of the source's blocks")

    @model_validator(mode="after")
    def _one_origin(self) -> CandidateSpec:
        given = [
            name
            for name, value in (
                ("model", self.model), ("network", self.network), ("from", self.source),
                ("search", self.search), ("external", self.external),
            )
            if value is not None
        ]  # fmt: skip
        if not given:
            raise ValueError(
                "got none of 'model', 'network', 'from', 'search', 'external', expected one of them"
            )
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]}: got both, expected one of them")
        if self.external is None and self.is_set("grace"):
            raise ValueError("grace: needs 'external', the program that it is about")
        return self

    @model_validator(mode="after")
    def _of_no_network(self) -> CandidateSpec:
        """Refuse what would say nothing to a program that bakeoff does not know."""
        if self.external is None:
            return self
        given = [key for key in _OF_A_NETWORK if self.is_set(key)]
        if given:
            raise ValueError(
                f"{given[0]}: is about networks that bakeoff trains, not about external programs"
            )
        idle = sorted(set(self.recipe) - {"time"})
        if idle:
            raise ValueError(
                f"recipe.{idle[0]}: belongs to trainings of bakeoff, expected 'time' alone for an external "
                "program, whose recipe is its own"
            )
        return self

    @model_validator(mode="after")
    def _of_a_search(self) -> CandidateSpec:
        """Refuse settings of a training that the search decides, and a second length beside its budget."""
        if self.search is None:
            return self
        decided = [key for key in DECIDED if key in self.recipe]
        if decided:
            raise ValueError(
                f"recipe.{decided[0]}: is what the search decides, expected search.space to narrow it"
            )
        lengths = [key for key in ("epochs", "steps", "time") if key in self.recipe]
        if lengths and self.search.budget is not None:
            raise ValueError(f"recipe.{lengths[0]} and search.budget: got both, expected one of them")
        return self

    @model_validator(mode="after")
    def _fits_its_source(self) -> CandidateSpec:
        given = [key for key in _OF_A_SOURCE if self.is_set(key)]
        if self.source is None and self.external is None and given:
            raise ValueError(f"{given[0]}: needs 'from', the trained network that it is about")
        if self.weights is not None and not self.is_pretrained:
            raise ValueError("weights: needs a 'from' of the form 'timm:NAME', whose weights it holds")
        if self.is_pretrained and self.tap == "output":
            raise ValueError("tap: got 'output', expected 'features' for a network of timm")
        given = [key for key in _NO_PROBE if self.is_set(key)]
        if self.probe and given:
            raise ValueError(f"probe and {given[0]}: got both; a probe is one dense layer on frozen features")
        if self.head_start == "probe" and (self.head or self.tap == "output"):
            raise ValueError(
                "head_start: got 'probe', expected 'random' with 'head' or tap = 'output'; "
                "a probe is one dense layer on features"
            )
        if self.train_last is not None and self.is_set("train"):
            raise ValueError("train and train_last: got both, expected at most one of them")
        if self.views is not None and self.is_trained_whole:
            raise ValueError("views: needs a frozen part that computes them; nothing of the source is frozen")
        return self

    @property
    def is_trained_whole(self) -> bool:
        """Whether nothing of the source is frozen."""
        return not self.probe and self.train == "all" and self.train_last is None

    def is_set(self, key: str) -> bool:
        """Tell whether a key says anything; its default, written out, is as good as silence."""
        return bool(getattr(self, key) != type(self).model_fields[key].default)
