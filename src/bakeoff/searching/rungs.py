"""How long trials are trained, at which size, and which of them go on: successive halving, one at a time.

Sources: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
AISTATS 2016 (successive halving); Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys
2020, algorithm 2 (the asynchronous form, which promotes whenever it can, and so may end at any time).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.records.trials import Trial
from bakeoff.spec.search import ETA

LADDERS = (  # of rungs: shares of the image's side, and lengths in those of the first
    ((0.5, 1.0), (0.75, 2.0), (1.0, 4.0)),
    ((0.5, 1.0), (0.75, 3.0)),
)
SMALL = 16  # pixels, up to which images are not made smaller
FEWEST_STEPS = 30  # of a first rung
MOST_STEPS, MOST_EPOCHS = 500, 6.0  # of a first rung: whichever is longer; then there are more trials instead
GOOD_STEPS, GOOD_EPOCHS = 60, 2.0  # of a first rung, below which fewer trials are better than shorter ones
WHOLE, FEW = 9, 5  # trials of which one reaches a third rung; trials at least, but for the smallest budgets
BY_CHANCE = 6  # trials at least of a search by chance
SPARE = 0.85  # of the trials' share that is planned with: measuring and validating also take their time


@dataclass(frozen=True, slots=True)
class Rung:
    """How trials are trained that have come so far."""

    pixels: int
    epochs: float


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs of a search, and how many trials are expected to begin."""

    rungs: tuple[Rung, ...]
    trials: int


def sizes(pixels: int, shares: Sequence[float]) -> list[int]:
    """Return the sizes of images at some shares of their side.

    >>> sizes(64, (0.5, 0.75, 1.0)), sizes(8, (0.5, 0.75, 1.0))
    ([32, 48, 64], [8, 8, 8])
    """
    if pixels <= SMALL:
        return [pixels] * len(shares)
    return [max(SMALL, 4 * round(share * pixels / 4)) if share < 1 else pixels for share in shares]


def ladder(
    available: float, *, pixels: int, images: int, batch: int, most: int | None = None, fixed: float = 0.0
) -> Ladder | None:
    """Plan rungs for what there is to spend.

    Args:
        available: Epochs over the training images, at full size, that all trials may cost.
        pixels: Of the images.
        images: Training images.
        batch: Images of a step.
        most: Trials that may begin; None is no limit.
        fixed: Share of a step's cost that smaller images do not save; 1 where epochs themselves are counted.

    Returns:
        The rungs; None when not even one trial of the fewest steps can be paid for.
    """
    steps = max(1.0, images / batch)
    shortest, longest = min(1.0, FEWEST_STEPS / steps), max(MOST_EPOCHS, MOST_STEPS / steps)
    good = min(longest, max(GOOD_EPOCHS, GOOD_STEPS / steps))
    spend = available * SPARE
    for shares in LADDERS:
        costs = [length * work(pixels, share, fixed) for share, length in shares]
        bracket = sum(cost * WHOLE / ETA**number for number, cost in enumerate(costs))  # of nine trials
        count = WHOLE if most is None else min(most, WHOLE)
        epochs = spend / bracket * WHOLE / count
        while epochs < good and count > FEW:
            count -= 1
            epochs = spend / bracket * WHOLE / count
        if epochs < (good if shares is LADDERS[0] else shortest):
            continue
        trials = max(count, int(count * epochs / longest))
        trials = trials if most is None else min(most, trials)
        return Ladder(_rungs(pixels, shares, min(epochs, longest)), trials)
    cost = shortest * work(pixels, LADDERS[-1][0][0], fixed)
    if available < cost:
        return None
    count = max(1, int(spend / cost))
    return Ladder(_rungs(pixels, LADDERS[-1], shortest), min(count, most or count))


def one_rung(available: float, *, pixels: int, images: int, batch: int, most: int | None = None) -> Ladder:
    """Plan trials of one length, at full size: what a search by chance does.

    Args:
        available: As for `ladder`.
        pixels: Likewise.
        images: Likewise.
        batch: Likewise.
        most: Likewise.

    Returns:
        One rung, for as many trials as a search by chance should have at least.
    """
    steps = max(1.0, images / batch)
    count = min(BY_CHANCE, most or BY_CHANCE)
    longest = LADDERS[0][-1][1] * max(MOST_EPOCHS, MOST_STEPS / steps)
    epochs = min(available * SPARE / count, longest)
    trials = max(count, int(available * SPARE / epochs))
    trials = trials if most is None else min(most, trials)
    return Ladder((Rung(pixels, float(f"{epochs:.3g}")),), trials)


def fewest_epochs(*, pixels: int, images: int, batch: int, fixed: float = 0.0) -> float:
    """Return what the cheapest trial costs, in epochs at full size."""
    shortest = min(1.0, FEWEST_STEPS / max(1.0, images / batch))
    return shortest * work(pixels, LADDERS[-1][0][0], fixed)


def work(pixels: int, share: float, fixed: float) -> float:
    """Return what an epoch at a share of the side costs, one at full size being 1."""
    return cost_of_size(sizes(pixels, [share])[0], pixels, fixed)


def cost_of_size(size: int, pixels: int, fixed: float) -> float:
    """Return what a step on images of another size costs, one at full size being 1.

    >>> cost_of_size(32, 64, 0.0), cost_of_size(32, 64, 0.5), cost_of_size(32, 64, 1.0)
    (0.25, 0.625, 1.0)
    """
    return fixed + (1 - fixed) * (size / pixels) ** 2


def fixed_share(slow: float, quick: float, size: int, pixels: int) -> float:
    """Tell which share of a step's cost smaller images do not save, to a tenth.

    Args:
        slow: Images a second at full size.
        quick: Images a second at another size.
        size: That other size, pixels.
        pixels: The full one.

    Returns:
        From 0 to 0.9; 0 where both sizes are the same.

    >>> fixed_share(100.0, 160.0, 32, 64)
    0.5
    """
    area = (size / pixels) ** 2
    if area >= 1:
        return 0.0
    return round(min(max((slow / quick - area) / (1 - area), 0.0), 0.9), 1)


def _rungs(pixels: int, shares: Sequence[tuple[float, float]], epochs: float) -> tuple[Rung, ...]:
    at = sizes(pixels, [share for share, _ in shares])
    return tuple(
        Rung(size, float(f"{length * epochs:.3g}")) for size, (_, length) in zip(at, shares, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Next:
    """What to train next: a trial that goes on, or a new one (number None) at the first rung."""

    number: int | None
    rung: int


def next_training(trials: Sequence[Trial], rungs: int, *, begins: bool) -> Next | None:
    """Decide what is trained next.

    Args:
        trials: All that were trained, at any rung.
        rungs: How many there are.
        begins: Whether a new trial may begin.

    Returns:
        The trial that goes on from the highest rung at which one may; else a new one; None when nothing is
        left to do.
    """
    for rung in range(rungs - 2, -1, -1):
        here = ranked(trials, rung)
        above = {trial.number for trial in trials if trial.rung == rung + 1}
        for trial in here[: len(here) // ETA]:
            if trial.number not in above and trial.score >= 0:
                return Next(trial.number, rung + 1)
    return Next(None, 0) if begins else None


def ranked(trials: Sequence[Trial], rung: int) -> list[Trial]:
    """List the trials of a rung, the best first."""
    here = [trial for trial in trials if trial.rung == rung and trial.status != "refused"]
    return sorted(here, key=lambda t: (-t.score, t.loss if t.loss is not None else math.inf, t.number))
