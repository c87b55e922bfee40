"""How sure each metric of a candidate is: over seeds and images where both can be counted, else over one.

Shape letters: S seeds, N images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bakeoff.evidence.intervals import Interval, mean_interval, seeds_and_images, shared_by_seeds, wilson
from bakeoff.evidence.metrics import METRICS
from bakeoff.evidence.resampling import NAMES, bootstrap_intervals, image_values
from bakeoff.evidence.runs import Run
from bakeoff.records import Predictions

_SHARES = ("accuracy", "top5")  # of images that are right or wrong
Bootstrapped = Mapping[str, Interval]  # of a single run, by metric


def metric_interval(
    finished: Sequence[Run], split: str, name: str, bootstrapped: Bootstrapped | None = None
) -> Interval | None:
    """Bound the mean of a metric over everything that was drawn.

    One seed: over its test images, by Wilson's interval (shares), Student's t (loss) or the bootstrap
    (macro F1, balanced accuracy). Several: over seeds and images together. Over seeds alone only where a
    run has no predictions, or they are of different images.

    Args:
        finished: A candidate's finished runs.
        split: ``"validation"`` or ``"test"``.
        name: A metric's.
        bootstrapped: What `bootstrap_single_runs` found for the candidate; None bounds no single
            run's F1 and balanced accuracy.

    Returns:
        The mean with its interval; None when no run has the metric. One seed's validation has no
        ends: it was looked at while training.
    """
    measured = [(run, value) for run in finished if (value := run.metric(f"{split}_{name}")) is not None]
    if not measured:
        return None
    bounds, seeds = METRICS[name].bounds, len(measured)
    by_seed = mean_interval([value for _, value in measured], bounds=bounds)
    by_image_SN = _by_image([run.test if split == "test" else run.validation for run, _ in measured], name)
    if by_image_SN is None:
        return by_seed
    if seeds == 1:
        return _of_one_run(by_image_SN[0], name, by_seed, bootstrapped) if split == "test" else by_seed
    over_seeds = mean_interval(by_image_SN.mean(axis=1, dtype=np.float64).tolist())
    over_images = shared_by_seeds(by_image_SN, shares=name in _SHARES)
    both = seeds_and_images(over_seeds, over_images, bounds)
    if name not in NAMES or both.low is None or both.high is None:
        return both
    # The jackknife's values have their own mean, from which the metric's bias is gone.
    low, high = min(both.low, by_seed.mean), max(both.high, by_seed.mean)
    return replace(both, mean=by_seed.mean, low=low, high=high)


def bootstrap_single_runs(finished: Mapping[str, Sequence[Run]]) -> dict[str, dict[str, Interval]]:
    """Bound macro F1 and balanced accuracy of the candidates that have one finished run.

    Args:
        finished: A task's finished runs by candidate.

    Returns:
        Intervals by candidate and metric.
    """
    alike: dict[bytes, dict[str, Predictions]] = {}
    for name, runs in finished.items():
        test = runs[0].test if len(runs) == 1 else None
        if test is not None and len(test.label_N):
            order_N = np.argsort(test.index_N, kind="stable")
            alike.setdefault(test.label_N[order_N].tobytes(), {})[name] = test
    found: dict[str, dict[str, Interval]] = {}
    for runs_of_equal_images in alike.values():
        for (candidate, metric), interval in bootstrap_intervals(runs_of_equal_images).items():
            found.setdefault(candidate, {})[metric] = interval
    return found


def _of_one_run(
    value_N: np.ndarray, name: str, by_seed: Interval, bootstrapped: Bootstrapped | None
) -> Interval:
    if name in _SHARES:
        return wilson(int(value_N.sum()), len(value_N))
    if name in NAMES:
        return (bootstrapped or {}).get(name, by_seed)
    return by_seed if len(value_N) < 2 else replace(mean_interval(value_N.tolist()), over="images")


def _by_image(by_seed: Sequence[Predictions | None], name: str) -> np.ndarray | None:
    """Return each image's part in a metric (S, N), in the order of the images; None where there is none."""
    known = [predictions for predictions in by_seed if predictions is not None]
    images = {np.sort(predictions.index_N).astype(np.int64).tobytes() for predictions in known}
    if len(known) < len(by_seed) or len(images) != 1 or images == {b""}:
        return None
    value_SN = np.stack([_values(predictions, name) for predictions in known])
    return value_SN if np.isfinite(value_SN).all() else None


def _values(predictions: Predictions, name: str) -> np.ndarray:
    if name in NAMES:
        return image_values(predictions, "macro_f1" if name == "macro_f1" else "balanced_accuracy")
    if name == "loss":
        values_N = predictions.loss_N.astype(np.float64)
    else:
        hits_NT = predictions.top_NT == predictions.label_N[:, None]
        values_N = (hits_NT if name == "top5" else hits_NT[:, :1]).any(axis=1)
    sorted_N: np.ndarray = values_N[np.argsort(predictions.index_N, kind="stable")]
    return sorted_N
