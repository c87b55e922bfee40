"""What an interval is over when runs have not all seen the same images; the rest is in `test_summary`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.evidence.bounded import metric_interval
from bakeoff.evidence.metrics import measure
from bakeoff.evidence.runs import Run
from bakeoff.records import Predictions, RunRecord
from bakeoff.rng import generator


def make_run(seed: int, index_N: np.ndarray) -> Run:
    random = generator(seed, "bounded")
    label_N = index_N % 3
    test = Predictions(
        index_N=index_N.astype(np.int32), label_N=label_N,
        top_NT=np.where(random.random(len(index_N)) < 0.7, label_N, (label_N + 1) % 3)[:, None],
        probability_NT=np.ones((len(index_N), 1), np.float32), loss_N=random.random(len(index_N)),
    )  # fmt: skip
    record = RunRecord(identity=str(seed), study="s", task="t", candidate="c", seed=seed, status="finished")
    return Run(record=record, test=test, validation=None, metrics=measure(test, "test"))


def test_seeds_that_saw_the_same_images_in_another_order_are_bounded_over_both() -> None:
    runs = [make_run(0, np.arange(100)), make_run(1, np.arange(100)[::-1])]
    found = metric_interval(runs, "test", "accuracy")
    assert found is not None
    assert found.over == "seeds and images"


@pytest.mark.parametrize("others", [np.arange(50, 150), np.arange(90)])
def test_seeds_that_saw_other_images_are_bounded_over_seeds_alone(others: np.ndarray) -> None:
    """As many images are not the same images: nothing can be said of what the seeds share."""
    runs = [make_run(0, np.arange(100)), make_run(1, others), make_run(2, np.arange(100))]
    values = [run.metrics["test_accuracy"] for run in runs]
    found = metric_interval(runs, "test", "accuracy")
    assert found is not None
    assert (found.over, found.n) == ("seeds", 3)
    golden = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx((max(0, golden[0]), min(1, golden[1])))
