"""What is not trained at all: networks too large, too costly or too slow, refused before they cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bakeoff.errors import ConfigError
from bakeoff.records.trials import Trial
from bakeoff.spec.search import SearchSpec

SLOWEST = 0.25  # of the first network's images a second, where no other limit is given
APART = 4.0  # times the first network's multiplications a second, that no network reaches on a processor
ATTEMPTS = 60  # at one number, of which none passes, before a space counts as empty


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of what is trained."""

    parameters: int | None = None  # at most
    multiplications: int | None = None  # at most, for one image
    images_per_second: float | None = None  # at least, in training
    timed: float | None = None  # multiplications at most, above which a network is too slow to be timed

    @property
    def by_clock(self) -> bool:
        """Whether a network's speed must be measured before anything else is known of it."""
        return self.images_per_second is not None

    @classmethod
    def of(cls, spec: SearchSpec, reference: float | None, multiplications: int = 0) -> Limits:
        """Take a study's limits.

        Args:
            spec: The search.
            reference: Images a second of the first network, of which what is tried has at least a quarter
                where nothing else is said; None where the clock does not count.
            multiplications: Of the first network for an image; 0 where they say nothing of speed.

        Returns:
            The limits.
        """
        slowest = spec.min_images_per_second or (None if reference is None else SLOWEST * reference)
        timed = None
        if slowest is not None and reference is not None and multiplications:
            timed = APART * multiplications * max(1.0, reference / slowest)
        return cls(spec.max_parameters, spec.max_multiplications, slowest, timed)

    def counted(self, parameters: int, multiplications: int) -> str:
        """Say which filter refuses a network by what it is; nothing when it passes."""
        if self.parameters is not None and parameters > self.parameters:
            return f"parameters: {parameters:,}, at most {self.parameters:,}"
        if self.multiplications is not None and multiplications > self.multiplications:
            return f"multiplications: {multiplications:,}, at most {self.multiplications:,}"
        if self.timed is not None and multiplications > self.timed:
            least = self.images_per_second or 0.0
            words = f"{multiplications:,} multiplications are too many for {least:.0f}"
            return f"images_per_second: not timed, {words}"
        return ""

    def measured(self, images_per_second: float) -> str:
        """Say whether a network is refused because it is slow; nothing when it passes."""
        if self.images_per_second is not None and images_per_second < self.images_per_second:
            return f"images_per_second: {images_per_second:.0f}, at least {self.images_per_second:.0f}"
        return ""


def refuse_empty(refused: Iterable[Trial], limits: Limits, *, spent: bool = False) -> None:
    """Say which filter has emptied a space.

    Args:
        refused: All proposals at one number.
        limits: What they did not keep to.
        spent: Whether the trials' share ended it, before there were enough of them.

    Raises:
        ConfigError: In any case; the filter that refused most of them is named first.
    """
    by_filter: dict[str, int] = {}
    count = 0
    for trial in refused:
        name = trial.reason.partition(":")[0]
        by_filter[name] = by_filter.get(name, 0) + 1
        count += 1
    keys = {
        "parameters": f"max_parameters = {limits.parameters}",
        "multiplications": f"max_multiplications = {limits.multiplications}",
        "images_per_second": f"min_images_per_second = {limits.images_per_second or 0:.0f}",
    }
    told = [
        f"{keys.get(name, name)} refused {number}"
        for name, number in sorted(by_filter.items(), key=lambda item: -item[1])
    ]
    if spent:
        raise ConfigError(
            f"search.budget: the share for trials was spent before one began: of {count} proposals "
            f"{', '.join(told)}; expected a larger budget, or a space of smaller networks"
        )
    raise ConfigError(
        f"search: the filters leave nothing of the space: of {count} proposals {', '.join(told)}; "
        "expected a wider limit, or a space of smaller networks"
    )
