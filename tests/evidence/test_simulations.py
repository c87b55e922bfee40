"""Do intervals cover what they claim, and do tests reject as often as they say? 2,000 repetitions each.

Truth is known because the data are drawn: every image has a difficulty that all seeds share, every seed
a skill of its own, and which of the two prevails is varied. Coverage is measured with a standard error of
0.5 points, so bounds of 93 and 97 % leave four of them below and above.

Shape letters: S seeds, N images, R repetitions.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from bakeoff.evidence.comparison import holm, mcnemar, paired_interval, seeds_and_images
from bakeoff.evidence.intervals import (
    Interval,
    mean_interval,
    shared_by_seeds,
    wilson,
)
from bakeoff.evidence.intervals import seeds_and_images as joined
from bakeoff.evidence.resampling import bootstrap_intervals, image_values
from bakeoff.records import Predictions
from bakeoff.rng import generator

pytestmark = pytest.mark.slow

R = 2000
MEAN = 0.7  # accuracy of all seeds on all images


def share_held(held: list[bool]) -> float:
    return sum(held) / len(held)


def right(random: np.random.Generator, seeds: int, images: int, hard: float, skill: float) -> np.ndarray:
    """Draw who is right (S, N); the mean over all seeds and images is `MEAN` exactly.

    A latent normal model: a seed is right where difficulty, skill and noise together are above a threshold.

    Args:
        random: Draws.
        seeds: S.
        images: N.
        hard: Variance of the images' difficulty; that of the noise is 1.
        skill: Variance of the seeds' skill.
    """
    threshold = stats.norm.ppf(MEAN) * math.sqrt(1 + hard + skill)
    image_N = random.normal(0, math.sqrt(hard), images)
    seed_S1 = random.normal(0, math.sqrt(skill), (seeds, 1))
    return image_N + seed_S1 + random.normal(0, 1, (seeds, images)) + threshold > 0


def of_shares(right_SN: np.ndarray) -> Interval:
    over_seeds = mean_interval(right_SN.mean(axis=1).tolist())
    return joined(over_seeds, shared_by_seeds(right_SN, shares=True), (0, 1))


@pytest.mark.parametrize("images", [100, 250, 2000])
@pytest.mark.parametrize("accuracy", [0.5, 0.7, 0.9])
def test_one_seeds_accuracy_is_covered(images: int, accuracy: float) -> None:
    random = generator(0, "one seed", images, int(100 * accuracy))
    counts = random.binomial(images, accuracy, R)
    found = share_held([wilson(int(count), images).holds(accuracy) for count in counts])
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize(
    ("hard", "skill"),
    [(0.0, 0.0), (3.0, 0.0), (1.0, 0.001), (1.0, 0.01), (3.0, 0.03), (0.1, 0.1), (1.0, 0.5)],
)
def test_the_accuracy_over_several_seeds_is_covered(seeds: int, hard: float, skill: float) -> None:
    random = generator(0, "several", seeds, int(1000 * hard), int(1000 * skill))
    found = share_held([of_shares(right(random, seeds, 500, hard, skill)).holds(MEAN) for _ in range(R)])
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("seeds", [1, 3, 10])
@pytest.mark.parametrize(("hard", "skill"), [(1.0, 0.0), (1.0, 0.003), (0.2, 0.05)])
def test_the_loss_is_covered(seeds: int, hard: float, skill: float) -> None:
    random = generator(0, "loss", seeds, int(1000 * hard), int(1000 * skill))
    held = []
    for _ in range(R):
        image_N = random.gamma(1 / hard, hard, 500)  # losses are skewed: most images are easy
        loss_SN = image_N * random.gamma(2, 0.5, (seeds, 500))
        if seeds == 1:  # of this network: its skill is part of the truth
            held.append(mean_interval(loss_SN[0].tolist()).holds(1.0))
        else:
            loss_SN += random.normal(0, math.sqrt(skill), (seeds, 1))
            over_seeds = mean_interval(loss_SN.mean(axis=1).tolist())
            held.append(joined(over_seeds, shared_by_seeds(loss_SN)).holds(1.0))
    assert 0.93 <= share_held(held) <= 0.97


def labelled(random: np.random.Generator, seeds: int, images: int, skill: float) -> list[Predictions]:
    """Draw predictions of four classes of unequal size, of which mistakes are made for the next class."""
    label_N = random.choice(4, images, p=[0.4, 0.3, 0.2, 0.1])
    image_N = random.normal(0, 1, images)
    runs = []
    for _ in range(seeds):
        ahead_N = image_N + random.normal(0, 1, images) + random.normal(0, skill) + 1 - 0.2 * label_N
        guess_N = np.where(ahead_N > 0, label_N, (label_N + 1) % 4)
        runs.append(Predictions(
            index_N=np.arange(images), label_N=label_N, loss_N=np.ones(images, np.float32),
            top_NT=guess_N[:, None], probability_NT=np.ones((images, 1), np.float32),
        ))  # fmt: skip
    return runs


def true_f1(skill: float) -> float:
    """Compute macro F1 of all seeds on all images, the mean over seeds by integration over their skill."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    share_K = np.array([0.4, 0.3, 0.2, 0.1])
    found = 0.0
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        hit_K = stats.norm.cdf((1 - 0.2 * np.arange(4) + skill * node) / math.sqrt(2))
        taken_K = share_K * hit_K + np.roll(share_K * (1 - hit_K), 1)
        found += weight * float((2 * share_K * hit_K / (share_K + taken_K)).mean())
    return found


def test_one_seeds_macro_f1_is_covered_by_the_bootstrap() -> None:
    random, truth = generator(0, "bootstrap coverage"), true_f1(0.0)
    held = [
        bootstrap_intervals({"a": labelled(random, 1, 400, 0.0)[0]}, seed=repetition)["a", "macro_f1"].holds(
            truth
        )
        for repetition in range(R)
    ]
    assert 0.93 <= share_held(held) <= 0.97


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("skill", [0.0, 0.05, 0.3])
def test_macro_f1_over_several_seeds_is_covered(seeds: int, skill: float) -> None:
    random, truth = generator(0, "f1", seeds, int(1000 * skill)), true_f1(skill)
    held = []
    for _ in range(R):
        value_SN = np.stack([image_values(run, "macro_f1") for run in labelled(random, seeds, 400, skill)])
        over_seeds = mean_interval(value_SN.mean(axis=1).tolist())
        held.append(joined(over_seeds, shared_by_seeds(value_SN)).holds(truth))
    assert 0.93 <= share_held(held) <= 0.97


def paired(
    random: np.random.Generator, seeds: int, images: int, own: float, skill: float, ahead: float = 0.0
) -> np.ndarray:
    """Draw outcomes of two candidates: images are hard for both (1), or for one of them (`own`)."""
    image_N = random.normal(0, 1, images)
    both = [
        image_N + random.normal(0, math.sqrt(own), images) + random.normal(0, math.sqrt(skill), (seeds, 1))
        + random.normal(0, 1, (seeds, images)) + 0.7 + shift > 0
        for shift in (ahead, 0.0)
    ]  # fmt: skip
    outcome_SN: np.ndarray = both[0].astype(np.int8) - both[1].astype(np.int8)
    return outcome_SN


SPREADS = [(0.0, 0.0), (1.0, 0.0), (0.3, 0.001), (1.0, 0.01), (0.1, 0.1), (1.0, 0.3)]


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize(("own", "skill"), SPREADS)
def test_the_difference_over_several_seeds_is_covered_and_equals_are_rarely_told_apart(
    seeds: int, own: float, skill: float
) -> None:
    random = generator(0, "pairs", seeds, int(1000 * own), int(1000 * skill))
    ahead = 0.25
    scale = math.sqrt(2 + own + skill)
    truth = float(special.ndtr((0.7 + ahead) / scale) - special.ndtr(0.7 / scale))
    held, rejected = [], []
    for _ in range(R):
        _, low, high = seeds_and_images(paired(random, seeds, 500, own, skill, ahead))
        held.append(low <= truth <= high)
        rejected.append(seeds_and_images(paired(random, seeds, 500, own, skill))[0] < 0.05)
    assert 0.93 <= share_held(held) <= 0.97
    assert share_held(rejected) <= 0.053 + 3 * math.sqrt(0.05 * 0.95 / R)


@pytest.mark.parametrize(("own", "ahead"), [(0.0, 0.25), (1.0, 0.25), (1.0, 0.0)])
def test_the_difference_with_one_seed_is_covered(own: float, ahead: float) -> None:
    """Of this seed's network; skill does not vary here."""
    random = generator(0, "paired once", int(10 * own), int(100 * ahead))
    scale = math.sqrt(2 + own)
    truth = float(special.ndtr((0.7 + ahead) / scale) - special.ndtr(0.7 / scale))
    held = []
    for _ in range(R):
        outcome_N = paired(random, 1, 500, own, 0.0, ahead)[0]
        low, high = paired_interval(int((outcome_N > 0).sum()), int((outcome_N < 0).sum()), 500)
        held.append(low <= truth <= high)
    assert 0.93 <= share_held(held) <= 0.97


def exact_size(discordant: float, images: int, level: float) -> float:
    """Compute how often exact McNemar rejects equal candidates, by summing over every outcome."""
    size = 0.0
    for both in range(images + 1):
        weight = stats.binom.pmf(both, images, discordant)
        if weight > 1e-12:
            first = np.arange(both + 1)
            p = np.minimum(1, 2 * stats.binom.cdf(np.minimum(first, both - first), both, 0.5))
            size += weight * stats.binom.pmf(first, both, 0.5)[p < level].sum()
    return float(size)


@pytest.mark.parametrize(("images", "discordant"), [(60, 0.1), (250, 0.05), (250, 0.3), (2000, 0.1)])
def test_mcnemar_rejects_equal_candidates_as_often_as_computed(images: int, discordant: float) -> None:
    random = generator(0, "mcnemar size", images, int(100 * discordant))
    both = random.binomial(images, discordant, 20 * R)  # cheap, so that half a point is ten standard errors
    first = random.binomial(both, 0.5)
    rejected = share_held([mcnemar(int(b), int(n - b)) < 0.05 for b, n in zip(first, both, strict=True)])
    assert rejected <= 0.055
    assert rejected == pytest.approx(exact_size(discordant, images, 0.05), abs=0.005)


@pytest.mark.parametrize(("seeds", "skill"), [(1, 0.0), (3, 0.1)])
def test_holm_tells_equal_candidates_apart_no_more_often_than_the_level(seeds: int, skill: float) -> None:
    """Four are equal and a fifth is better: what counts is whether any two of the four are told apart.

    With one seed the test is of two trained networks, so skill must not vary for them to be equal.
    """
    random = generator(0, "family", seeds)
    wrong = []
    for _ in range(R):
        image_N = random.normal(0, 1, 300)
        runs = [
            image_N + random.normal(0, 1, (seeds, 300)) + random.normal(0, skill, (seeds, 1)) > threshold
            for threshold in (-0.7, -0.7, -0.7, -0.7, -1.7)
        ]
        p_values = {}
        for j, k in itertools.combinations(range(5), 2):
            outcome_SN = runs[j].astype(np.int8) - runs[k].astype(np.int8)
            first_only, second_only = int((outcome_SN > 0).sum()), int((outcome_SN < 0).sum())
            p_values[j, k] = (
                mcnemar(first_only, second_only) if seeds == 1 else seeds_and_images(outcome_SN)[0]
            )
        corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
        wrong.append(min(p for (_, k), p in corrected.items() if k < 4) < 0.05)
    assert share_held(wrong) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / R)
