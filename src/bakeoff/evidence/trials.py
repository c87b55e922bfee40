"""What a search's journal shows: the trials one by one, the best so far, why some went no further.

And how much each setting mattered, by a random forest that learns accuracies from settings: the accuracy of
its predictions for trials that it has not seen, and what that loses when one setting is shuffled (Breiman,
"Random Forests", Machine Learning 45, 2001, section 10; Hutter, Hoos and Leyton-Brown, ICML 2014, for
hyperparameters).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.evidence.words import ordinal
from bakeoff.records import RunRecord
from bakeoff.records.trials import Journal, Trial, TrialsFile
from bakeoff.spec.search import ETA
from bakeoff.spec.space import SPACE
from bakeoff.units import format_seconds

ENOUGH = 8  # trials, below which no forest is asked
TREES, ROUNDS, SEED = 100, 10, 0


@dataclass(frozen=True, kw_only=True)
class TrialSummary:
    """One network that a search has tried."""

    number: int
    proposed: str  # start, tpe, local, chance
    parent: int | None
    words: str
    point: Mapping[str, Any]
    parameters: int
    images_per_second: float
    accuracies: tuple[float | None, ...]  # of the validation images, rung by rung
    accuracy: float | None  # at the highest rung that it reached
    rung: int
    seconds: float  # at all rungs
    elapsed: float  # charged when its last rung had ended
    end: str  # what became of it, and why
    won: bool


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much a setting mattered among the trials."""

    setting: str
    about: str
    share: float  # of what all settings together explain


@dataclass(frozen=True, kw_only=True)
class SearchSummary:
    """One search of a run."""

    candidate: str
    seed: int
    method: str
    budget: str
    rungs: tuple[Mapping[str, Any], ...]  # pixels and epochs
    trials: tuple[TrialSummary, ...]
    refused: tuple[tuple[str, int], ...]  # filter and how many proposals it refused
    seconds: float  # of all trials
    final_seconds: float  # of the final training
    best_so_far: tuple[tuple[float, float, int], ...]  # seconds, accuracy, rung
    importance: tuple[Importance, ...]
    explained: float  # R2 of the forest for trials that it has not seen; below 0 explains nothing
    winner: str
    validation_accuracy: float | None  # of the winner in the search
    architecture: Mapping[str, Any]
    recipe: Mapping[str, Any]
    point: Mapping[str, Any]


def search_cost(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Say what the searches of a candidate's runs took, for its row; nothing for other candidates."""
    told = [record.search for record in records if record.search]
    if not told:
        return {}
    seconds = sum(float(search.get("seconds", 0.0)) for search in told) / len(told)
    trials = sum(int(search.get("trials", 0)) for search in told) / len(told)
    words = f"{trials:.3g} {'trial' if trials == 1 else 'trials'} in {format_seconds(seconds)}"
    return {"search_seconds": seconds, "searched": words}


def summarise_search(record: RunRecord, file: Path) -> SearchSummary | None:
    """Read a run's journal and say what it shows.

    Args:
        record: The run's.
        file: Its `trials.jsonl`.

    Returns:
        The summary; None where there is no search, it has found nothing, or no journal is here.

    Raises:
        StudyError: The journal is damaged.
    """
    journal = TrialsFile(file).read()
    found_nothing = record.status == "failed" and not record.architecture
    if not record.search or not journal.trials or found_nothing:
        return None
    search = record.search
    trials = tuple(_trial(journal, number) for number in sorted({t.number for t in journal.ended}))
    importance, explained = importances(trials)
    return SearchSummary(
        candidate=record.candidate, seed=record.seed, method=str(search.get("method", "")),
        budget=str(search.get("budget", "")), rungs=tuple(journal.plan.get("rungs", ())), trials=trials,
        refused=tuple(sorted(dict(search.get("refused", {})).items())),
        seconds=float(search.get("seconds", 0.0)), final_seconds=record.train_seconds,
        best_so_far=best_so_far(journal), importance=importance, explained=explained, winner=record.model,
        validation_accuracy=search.get("validation_accuracy"), architecture=record.architecture,
        recipe=search.get("recipe", {}), point=search.get("point", {}),
    )  # fmt: skip


def _trial(journal: Journal, number: int) -> TrialSummary:
    rows = sorted((t for t in journal.ended if t.number == number), key=lambda t: t.rung)
    last = rows[-1]
    won = journal.final.get("number") == number
    return TrialSummary(
        number=number, proposed=last.proposed, parent=last.parent, words=last.words, point=last.point,
        parameters=last.parameters, images_per_second=last.images_per_second,
        accuracies=tuple(row.accuracy for row in rows), accuracy=last.accuracy, rung=last.rung,
        seconds=sum(row.seconds for row in rows), elapsed=last.elapsed,
        end="won: trained to the end" if won else _end(journal, last), won=won,
    )  # fmt: skip


def _end(journal: Journal, last: Trial) -> str:
    """Say why a trial went no further than its last rung."""
    if last.status != "ended":
        return f"{last.status}: {last.reason}"
    if last.number in journal.final.get("diverged", ()):
        return "won, and diverged or failed in its final training"
    here = sorted((t for t in journal.ended if t.rung == last.rung), key=lambda t: (-t.score, t.number))
    place = [t.number for t in here].index(last.number) + 1
    top = last.rung + 1 >= len(journal.plan.get("rungs", ()))
    if top:
        return f"{ordinal(place)} of {len(here)} at the last rung"
    if place <= len(here) // ETA:
        return f"{ordinal(place)} of {len(here)} at rung {last.rung + 1}; the trials' share was spent"
    going = len({t.number for t in journal.ended if t.rung == last.rung + 1})
    told = f"{going} went on" if going > 1 else "one went on" if going else "none went on"
    return f"stopped: {ordinal(place)} of {len(here)} at rung {last.rung + 1}, {told}"


def best_so_far(journal: Journal) -> tuple[tuple[float, float, int], ...]:
    """List when which accuracy was the best one known, and at which rung; higher rungs come first."""
    found: list[tuple[float, float, int]] = []
    for position, trial in enumerate(journal.trials):
        best = replace(journal, trials=journal.trials[: position + 1]).best
        if best is None or best.accuracy is None:
            continue
        entry = (trial.elapsed, best.accuracy, best.rung)
        if not found or found[-1][1:] != entry[1:]:
            found.append(entry)
    return tuple(found)


def importances(trials: Sequence[TrialSummary]) -> tuple[tuple[Importance, ...], float]:
    """Ask a random forest how much each setting mattered.

    Args:
        trials: What was tried; those that did not end well count as an accuracy of 0.

    Returns:
        The settings that more than one value was tried of, the most important first, and the share of the
        accuracies' variance (R2) that the forest explains among trials that each tree has not seen.
        Nothing where there are too few trials.
    """
    names = [name for name in SPACE if len({str(trial.point.get(name)) for trial in trials}) > 1]
    if len(trials) < ENOUGH or not names:
        return (), 0.0
    from sklearn.ensemble import RandomForestRegressor

    values_NS = np.array([[_number(name, trial.point.get(name)) for name in names] for trial in trials])
    first_N = np.array([trial.accuracies[0] or 0.0 for trial in trials])  # all were trained at the first rung
    if first_N.std() == 0:
        return (), 0.0
    forest = RandomForestRegressor(TREES, oob_score=True, random_state=SEED, min_samples_leaf=2)
    forest.fit(values_NS, first_N)
    means = np.maximum(_losses(forest, values_NS, first_N), 0.0)
    total = float(means.sum()) or 1.0
    ranked = sorted(zip(names, means, strict=True), key=lambda pair: (-pair[1], pair[0]))
    told = tuple(
        Importance(setting=name, about=SPACE[name].about, share=float(mean) / total) for name, mean in ranked
    )
    return told, float(forest.oob_score_)


def _losses(forest: Any, values_NS: np.ndarray, first_N: np.ndarray) -> np.ndarray:
    """Return for each setting how much larger the forest's squared error is when that setting is shuffled.

    All shuffled copies are predicted at once: one by one, a forest's start takes longer than its answers.
    """
    count, settings = values_NS.shape
    chance = np.random.default_rng(SEED)
    copies_SRNS = np.tile(values_NS, (settings, ROUNDS, 1, 1))
    for setting in range(settings):
        for turn in range(ROUNDS):
            copies_SRNS[setting, turn, :, setting] = chance.permutation(values_NS[:, setting])
    predicted_SRN = forest.predict(copies_SRNS.reshape(-1, settings)).reshape(settings, ROUNDS, count)
    error = float(((forest.predict(values_NS) - first_N) ** 2).mean())
    losses_S: np.ndarray = ((predicted_SRN - first_N) ** 2).mean((1, 2)) - error
    return losses_S


def _number(name: str, value: Any) -> float:
    """Write a value of a setting as a number; one that says nothing in a trial is below all others."""
    dimension = SPACE[name]
    if value is None:
        return -1.0
    if dimension.values:
        return float(dimension.values.index(value)) if value in dimension.values else -1.0
    return float(np.log(value)) if dimension.log else float(value)
