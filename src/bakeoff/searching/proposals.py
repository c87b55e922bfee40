"""Which point a search tries next: the start, Optuna's proposals, steps from the best; or chance alone.

Everything follows from the seed, the number of the proposal and the trials before it, so that a search that
was killed proposes what it would have proposed: no state of a sampler is kept, one is made for each number.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from bakeoff import rng
from bakeoff.records.trials import Journal, Proposer, Trial
from bakeoff.searching.points import Point, draw_point, is_active, start_point, step_from
from bakeoff.spec.search import SearchSpec
from bakeoff.spec.space import Dimension, Space

FEW = 9  # planned trials, below which all are steps from the best
EXPLORED = 1 / 3  # of the planned trials, before steps from the best take over
STARTUP = 4  # trials that Optuna's sampler draws by chance before its model says anything
TRIES = 20  # for a point that is not among those tried


@dataclass(frozen=True)
class Proposal:
    """A point to try, and where it comes from."""

    number: int
    attempt: int
    proposed: Proposer
    point: Point
    parent: int | None = None


def propose(
    spec: SearchSpec,
    trials: Sequence[Trial],
    *,
    number: int,
    attempt: int,
    seed: int,
    pixels: int,
    planned: int,
) -> Proposal:
    """Propose a point.

    Args:
        spec: Method and space.
        trials: All lines of the journal so far, refused ones too.
        number: Of the proposal.
        attempt: At this number; filters have refused those before.
        seed: The run's.
        pixels: Of the task's images.
        planned: Trials that are expected to be begun in all.

    Returns:
        A point; the same for the same arguments. One that was tried before where nothing else was found.
    """
    space = spec.bounds
    tried = [trial.point for trial in trials]
    if spec.method == "random":
        point: Point = {}
        for again in range(TRIES):
            parts = (again,) if again else ()
            point = draw_point(space, rng.generator(seed, "search", number, attempt, *parts))
            if point not in tried:
                break
        return Proposal(number, attempt, "chance", point)
    if number == 0 and attempt == 0:
        return Proposal(number, attempt, "start", start_point(space, pixels))
    best = Journal(trials=tuple(trials)).best
    explored = EXPLORED * planned if planned >= FEW else 1
    local = best is not None and number >= explored
    proposal = None
    for again in range(TRIES):
        if local and best is not None:
            chance = rng.generator(seed, "search", number, attempt, again)
            point = step_from(space, best.point, chance)
            proposal = Proposal(number, attempt, "local", point, best.number)
        else:
            key = rng.key(seed, "search", number, attempt, again)
            proposal = Proposal(number, attempt, "tpe", _asked(space, trials, key))
        if proposal.point not in tried:
            break
    if proposal is None:
        raise RuntimeError("no proposal was made")
    return proposal


def _asked(space: Space, trials: Sequence[Trial], key: int) -> Point:
    """Tell Optuna of all trials, and ask it for the next point."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=key % 2**32, n_startup_trials=STARTUP, constant_liar=False, multivariate=False
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials(list(_told(space, trials)))
        asked = study.ask()
        point: Point = {}
        for name, dimension in space.items():
            if is_active(space, point, name):
                point[name] = _suggested(asked, name, dimension)
    return point


def _suggested(asked: optuna.Trial, name: str, dimension: Dimension) -> str | int | float:
    if dimension.values:
        if _is_ordered(dimension):
            return dimension.values[asked.suggest_int(name, 0, len(dimension.values) - 1)]
        return str(asked.suggest_categorical(name, [str(value) for value in dimension.values]))
    if dimension.step:
        return asked.suggest_int(name, int(dimension.low), int(dimension.high), step=dimension.step)
    return asked.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def _is_ordered(dimension: Dimension) -> bool:
    """Tell whether values are numbers, of which a model knows that neighbours are alike."""
    return not any(isinstance(value, str) for value in dimension.values)


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if dimension.values:
        if _is_ordered(dimension):
            return optuna.distributions.IntDistribution(0, len(dimension.values) - 1)
        return optuna.distributions.CategoricalDistribution([str(value) for value in dimension.values])
    if dimension.step:
        return optuna.distributions.IntDistribution(
            int(dimension.low), int(dimension.high), step=dimension.step
        )
    return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _told(space: Space, trials: Sequence[Trial]) -> list[optuna.trial.FrozenTrial]:
    """Write ended trials as Optuna's: those that went no further are pruned, with a value for each rung."""
    by_number: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.status != "refused":
            by_number.setdefault(trial.number, []).append(trial)
    top = max((trial.rung for trial in trials), default=0)
    found = []
    for number in sorted(by_number):
        rungs = by_number[number]
        point, highest = rungs[0].point, max(trial.rung for trial in rungs)
        values = {trial.rung: max(trial.score, 0.0) for trial in rungs}
        ended = highest == top and all(trial.status == "ended" for trial in rungs)
        state = optuna.trial.TrialState.COMPLETE if ended else optuna.trial.TrialState.PRUNED
        kept = {name: value for name, value in point.items() if name in space and space[name].holds(value)}
        found.append(optuna.trial.create_trial(
            state=state, value=values[highest], intermediate_values=values,
            params={name: _coded(space[name], value) for name, value in kept.items()},
            distributions={name: _distribution(space[name]) for name in kept},
        ))  # fmt: skip
    return found


def _coded(dimension: Dimension, value: str | int | float) -> str | int | float:
    """Write a value as Optuna is told of it."""
    if dimension.values:
        return dimension.values.index(value) if _is_ordered(dimension) else str(value)
    return value
