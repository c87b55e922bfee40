"""A candidate's calibration over seeds; intervals are checked by simulation against a known truth."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from bakeoff.evidence.bounded import metric_interval
from bakeoff.evidence.calibration import NO_SIGNAL, calibrate, equal_width, reliability
from bakeoff.evidence.confidence import calibrate_candidate, resampled_gaps, trust, trust_bins
from bakeoff.evidence.intervals import mean_interval, seeds_and_images, shared_by_seeds
from bakeoff.evidence.metrics import measure
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.evidence.runs import Run
from bakeoff.records import Predictions, RunFolder, RunRecord
from bakeoff.records.atomic import write_arrays
from bakeoff.rng import generator

CLASSES = 6


def probabilities(images: int, sharpness: float, seed: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw what a network says: images are shared by the seeds, a seed adds noise of its own."""
    shared, own = generator(0, split, images), generator(seed, f"own {split}", images)
    logits_NK = shared.normal(0, 1.5, (images, CLASSES))
    exp_NK = np.exp(logits_NK)
    cumulative_NK = (exp_NK / exp_NK.sum(axis=1, keepdims=True)).cumsum(axis=1)
    label_N = (shared.random((images, 1)) > cumulative_NK[:, :-1]).sum(axis=1)
    logits_NK = sharpness * (logits_NK + own.normal(0, 0.3, logits_NK.shape))
    exp_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return (exp_NK / exp_NK.sum(axis=1, keepdims=True)).astype(np.float32), label_N


def make_run(
    seed: int = 0, *, sharpness: float = 3.0, folder: RunFolder | None = None, recorded: bool = True
) -> Run:
    images = {"validation": 300, "test": 800}
    by_split = {split: probabilities(n, sharpness, seed, split) for split, n in images.items()}
    kept = {
        split: summarise_probabilities(found_NK, label_N, np.arange(len(label_N)))
        for split, (found_NK, label_N) in by_split.items()
    }
    values = calibrate(*by_split["validation"], *by_split["test"]).as_record() if recorded else {}
    record = RunRecord(
        identity=str(seed), study="s", task="t", candidate="c", seed=seed, status="finished",
        calibration=values,
    )  # fmt: skip
    if folder is not None:
        folder.write_predictions(kept)
        write_arrays(folder.probabilities_path, {split: found for split, (found, _) in by_split.items()})
    metrics = measure(kept["test"], "test")
    return Run(
        record=record, test=kept["test"], validation=kept["validation"], metrics=metrics, folder=folder
    )


def test_the_numbers_of_a_candidate_are_means_over_its_seeds() -> None:
    runs = [make_run(seed) for seed in (0, 1, 2)]
    found = calibrate_candidate(runs)
    assert found is not None
    assert found.before is not None
    assert found.after is not None
    stored = [run.record.calibration for run in runs]
    for name, ours in (("loss", found.after.loss), ("brier", found.after.brier)):
        values = [values["after"][name] for values in stored]
        assert ours.mean == pytest.approx(np.mean(values))
        over_seeds = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
        error = np.mean([values["after"][f"{name}_error"] for values in stored])
        over_images = stats.t.interval(0.95, 799, loc=np.mean(values), scale=error)
        parts = (ours.mean - over_seeds[0], ours.mean - over_images[0])
        assert max(parts) < ours.mean - ours.low <= math.hypot(*parts)
        assert ours.over == "seeds and images"
    temperatures = [values["temperature"] for values in stored]
    assert found.temperature is not None
    assert found.temperature.mean == pytest.approx(np.mean(temperatures))
    assert found.measured == pytest.approx(np.mean([values["before"]["ece"] for values in stored]))
    assert found.largest == pytest.approx(np.mean([values["before"]["mce"] for values in stored]))
    assert sum(one.images for one in found.bins) == 3 * 800
    assert (found.seeds, found.images) == (3, 800)


def test_the_loss_as_it_is_has_the_interval_that_the_results_give_it() -> None:
    """Both are of the same numbers on one page; the images count only as far as the seeds share them."""
    runs = [make_run(seed) for seed in (0, 1, 2)]
    found = calibrate_candidate(runs)
    assert found is not None
    assert found.before is not None
    assert found.before.loss == metric_interval(runs, "test", "loss")
    loss_SN = np.stack([run.test.loss_N for run in runs if run.test is not None]).astype(np.float64)
    over_seeds = mean_interval(loss_SN.mean(axis=1).tolist())
    golden = seeds_and_images(over_seeds, shared_by_seeds(loss_SN), (0, math.inf))
    assert (found.before.loss.low, found.before.loss.high) == pytest.approx((golden.low, golden.high))


def test_a_temperature_that_was_not_fitted_does_not_count_among_those_that_were() -> None:
    runs = [make_run(seed) for seed in (0, 1, 2)]
    fitted = [run.record.calibration["temperature"] for run in runs[:2]]
    runs[2].record.calibration.update(temperature=100.0, unfitted=NO_SIGNAL)
    found = calibrate_candidate(runs)
    assert found is not None
    assert found.temperature is not None
    assert (found.temperature.mean, found.temperature.n) == (pytest.approx(np.mean(fitted)), 2)
    assert (found.fitted, found.unfitted) == (2, NO_SIGNAL)
    alone = calibrate_candidate(runs[2:])
    assert alone is not None
    assert alone.temperature is not None
    assert alone.temperature.mean == 100


def test_two_losses_that_are_far_apart_are_bounded_down_to_zero() -> None:
    runs = [make_run(seed) for seed in (0, 1)]
    for run, loss in zip(runs, (0.1, 0.9), strict=True):
        run.record.calibration["after"]["loss"] = loss  # 12.7 standard errors of 0.4 are ten times the mean
    found = calibrate_candidate(runs)
    assert found is not None
    assert found.after is not None
    assert found.after.loss.low == 0
    assert found.after.loss.high == pytest.approx(0.5 + 12.706 * 0.4, rel=0.01)


def test_what_is_overconfident_promises_more_than_it_keeps_and_scaling_mends_it() -> None:
    found = calibrate_candidate([make_run(seed) for seed in (0, 1)])
    assert found is not None
    assert found.before is not None
    assert found.after is not None
    assert found.gap > 0.2
    assert found.error.low is not None
    assert found.error.low > 0.15 > found.perfect
    assert found.after.error.mean < 0.05
    assert found.after.loss.mean < found.before.loss.mean


def test_one_seed_is_bounded_over_its_images_alone() -> None:
    found = calibrate_candidate([make_run()])
    assert found is not None
    assert found.after is not None
    assert found.temperature is not None
    assert found.error.over == found.after.brier.over == "images"
    assert found.temperature.low is None  # one seed says nothing about how temperatures vary


def test_seeds_are_no_extra_images() -> None:
    once, often = calibrate_candidate([make_run(0)]), calibrate_candidate([make_run(0) for _ in range(9)])
    assert once is not None
    assert often is not None
    assert often.error.half_width == pytest.approx(once.error.half_width)


def test_the_order_in_which_a_seed_keeps_its_images_does_not_matter() -> None:
    runs = [make_run(seed) for seed in (0, 1)]
    order_N = generator(0, "shuffle").permutation(800)
    assert runs[1].test is not None
    shuffled = replace(runs[1].test, **{k: v[order_N] for k, v in vars(runs[1].test).items()})
    assert calibrate_candidate([runs[0], replace(runs[1], test=shuffled)]) == calibrate_candidate(runs)


def test_an_older_record_takes_it_from_the_full_probabilities_where_they_still_are(tmp_path: Path) -> None:
    older = make_run(folder=RunFolder(tmp_path), recorded=False)
    found = calibrate_candidate([older])
    newer = calibrate_candidate([make_run()])
    assert found == newer
    older.folder.probabilities_path.unlink()  # type: ignore[union-attr]
    without = calibrate_candidate([older])
    assert without is not None
    assert newer is not None
    assert (without.temperature, without.before, without.after) == (None, None, None)
    assert (without.error, without.bins) == (newer.error, newer.bins)


@pytest.mark.parametrize("damage", ["cut", "of another run", "fewer"])
def test_full_probabilities_that_are_damaged_or_anothers_count_as_missing(
    tmp_path: Path, damage: str
) -> None:
    run = make_run(folder=RunFolder(tmp_path), recorded=False)
    assert run.folder is not None
    path = run.folder.probabilities_path
    stored = {split: run.folder.read_probabilities(split) for split in ("validation", "test")}  # type: ignore[arg-type]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "fewer":
        write_arrays(path, {split: values[:-1] for split, values in stored.items() if values is not None})
    else:
        write_arrays(path, {split: values[::-1] for split, values in stored.items() if values is not None})
    found = calibrate_candidate([run])
    assert found is not None
    assert found.temperature is None


def test_a_candidate_without_predictions_has_none() -> None:
    assert calibrate_candidate([]) is None
    assert calibrate_candidate([replace(make_run(), test=None)]) is None


# The correction of the expected calibration error, and its interval


def one(confidence_N: np.ndarray, right_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return resampled_gaps([confidence_N], [right_N], resamples=400)


def test_equal_draws_give_equal_intervals_to_the_last_bit() -> None:
    random = generator(0, "equal")
    confidence_N, right_N = random.random(500), random.random(500) < 0.5
    first = trust(*one(confidence_N, right_N))
    one(confidence_N[:20], right_N[:20])  # draws for another number of images, so that none is at hand
    assert trust(*one(confidence_N, right_N)) == first


def test_resamples_move_a_bin_by_its_own_standard_error() -> None:
    random = generator(0, "spread")
    confidence_N = 0.5 + 0.5 * random.random(3000)
    right_N = random.random(3000) < 0.7
    gap_SJ, shift_BSJ = resampled_gaps([confidence_N], [right_N], resamples=1000)
    by_image_N = np.where(confidence_N > 14 / 15, right_N - confidence_N, 0.0)  # of the last bin
    assert gap_SJ[0, -1] == pytest.approx(by_image_N.mean(), abs=1e-8)
    assert shift_BSJ[:, 0, -1].std() == pytest.approx(by_image_N.std() / math.sqrt(3000), rel=0.1)
    assert abs(shift_BSJ.mean()) < 1e-4


def test_perfect_probabilities_on_few_images_are_not_blamed() -> None:
    """A measured error of 6 points is what chance shows in 15 bins of 250 images; the corrected holds 0."""
    random, held, means = generator(0, "perfect"), 0, []
    for _ in range(100):
        confidence_N = 0.2 + 0.8 * random.beta(2, 1, 250)
        right_N = random.random(250) < confidence_N
        found = trust(*one(confidence_N, right_N))
        held += found.error.low == 0
        means.append(found.error.mean)
    assert held >= 90
    assert np.mean(means) < 0.035  # as measured it is 0.065 in the mean


def test_bins_alone_give_nearly_the_same_as_their_images() -> None:
    random = generator(0, "bins")
    confidence_N = 0.2 + 0.8 * random.beta(2, 1, 1500)
    right_N = random.random(1500) < 0.8 * confidence_N
    by_image = trust(*resampled_gaps([confidence_N], [right_N]))
    by_bin = trust_bins([reliability(confidence_N, right_N, equal_width())])
    assert by_bin.error.mean == pytest.approx(by_image.error.mean, abs=0.003)
    assert by_bin.error.half_width == pytest.approx(by_image.error.half_width, rel=0.2)
    assert by_bin.perfect == pytest.approx(by_image.perfect, rel=0.2)


def over_seeds_of(seeds: int, images: int, overconfidence: float, random: np.random.Generator) -> list[Run]:
    """Draw seeds that are about as sure and as right on the same images, by a Gaussian copula."""

    def uniform_SN() -> np.ndarray:
        together = random.normal(size=images) + random.normal(size=(seeds, images))
        drawn_SN: np.ndarray = special.ndtr(together / math.sqrt(2))
        return drawn_SN

    confidence_SN, answer_N = 0.2 + 0.8 * np.sqrt(uniform_SN()), np.zeros((images, 1), np.int64)
    right_SN = uniform_SN() < (1 - overconfidence) * confidence_SN
    return [
        Run(
            record=RunRecord(
                identity=str(seed), study="s", task="t", candidate="c", seed=seed, status="finished"
            ),
            test=Predictions(
                index_N=np.arange(images), label_N=np.where(right_N, 0, 1), top_NT=answer_N,
                probability_NT=confidence_N[:, None], loss_N=-np.log(confidence_N),
            ),
            validation=None, metrics={},
        )
        for seed, (confidence_N, right_N) in enumerate(zip(confidence_SN, right_SN, strict=True))
    ]  # fmt: skip


@pytest.mark.parametrize(("seeds", "overconfidence"), [(3, 0.0), (10, 0.0), (3, 0.1)])
def test_several_seeds_hold_the_true_error_too(seeds: int, overconfidence: float) -> None:
    """Also where it is 0: with what the seeds share of the images alone it would be 3 of 4, or less."""
    random, held = generator(0, "seeds of calibration", seeds, round(100 * overconfidence)), 0
    for _ in range(40):
        found = calibrate_candidate(over_seeds_of(seeds, 250, overconfidence, random))
        assert found is not None
        held += found.error.holds(overconfidence * (0.2 + 0.8 * 2 / 3))
    assert held >= 35


@pytest.mark.slow
@pytest.mark.parametrize("images", [250, 1000, 5000])
@pytest.mark.parametrize("overconfidence", [0.0, 0.02, 0.1, 0.3])
def test_about_95_of_100_intervals_hold_the_true_error(images: int, overconfidence: float) -> None:
    """Also where the true error is 0: there the percentiles of a bootstrap hold nothing."""
    random = generator(0, "coverage of calibration", images, round(100 * overconfidence))
    many_N = 0.2 + 0.8 * random.beta(2, 1, 1_000_000)
    true = overconfidence * many_N.mean()
    repetitions = 400 if images < 5000 else 200
    held = 0
    for _ in range(repetitions):
        confidence_N = 0.2 + 0.8 * random.beta(2, 1, images)
        right_N = random.random(images) < (1 - overconfidence) * confidence_N
        held += trust(*one(confidence_N, right_N)).error.holds(true)
    assert 0.90 < held / repetitions < 0.99
