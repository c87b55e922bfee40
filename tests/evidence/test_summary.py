from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from studies import CANDIDATES, TASKS, CandidateSketch, TaskSketch, make_study, write_run

from bakeoff.errors import StudyError
from bakeoff.evidence.comparison import holm
from bakeoff.evidence.crossed import joined_reach
from bakeoff.evidence.summarise import summarise_study
from bakeoff.evidence.summary import StudySummary, TaskSummary
from bakeoff.records import StudyFolder
from bakeoff.report.control_views import missing_runs
from bakeoff.spec import CandidateSpec

FIVE = TASKS[0]


def summarise(path: Path, *candidates: CandidateSketch, task: TaskSketch = FIVE, **made: Any) -> TaskSummary:
    """Make a study of one task and summarise it."""
    folder = make_study(path, tasks=[task], candidates=candidates, examples=False, **made)
    return summarise_study(folder).tasks[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudySummary:
    folder = make_study(
        tmp_path_factory.mktemp("study"),
        diverged={("5 classes", "model1", 1)},
        failed={("16 classes", "model5", seed) for seed in (0, 1, 2)},
        missing={("16 classes", "model1", 2)},
        examples=False,
    )
    return summarise_study(folder)


def test_runs_are_counted(study: StudySummary) -> None:
    assert (study.planned, study.ended, study.seeds) == (18, 17, (0, 1, 2))
    five, sixteen = study.tasks
    assert five.candidate("model1").statuses == {"finished": 2, "diverged": 1, "failed": 0, "missing": 0}
    assert sixteen.candidate("model1").statuses == {"finished": 2, "diverged": 0, "failed": 0, "missing": 1}
    first = five.candidate("model1").symptoms[0].text
    assert "(seed 1: the loss became nan at step 54)" in first


def test_a_task_of_fewer_seeds_is_done_when_these_are(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=[FIVE], missing={("5 classes", "model1", 2)}, examples=False)
    spec = folder.spec()
    two = spec.model_copy(update={"tasks": (spec.tasks[0].model_copy(update={"seeds": 2}),)})
    task = summarise_study(folder, two).tasks[0]
    assert (task.planned, task.ended) == (6, 6)
    assert [row.seeds for row in task.candidates] == [(0, 1)] * 3
    assert [row.statuses["missing"] for row in task.candidates] == [0, 0, 0]
    assert {record.seed for record in folder.records(two)} == {0, 1}
    assert missing_runs(folder, two) == ()
    assert missing_runs(folder, spec) == ("5 classes: model1, seed 2",)


def test_a_task_that_has_not_begun_is_one_line_of_what_is_missing(tmp_path: Path) -> None:
    names = ("model1", "model4", "model5")
    none = {("5 classes", name, seed) for name in names for seed in (0, 1, 2)}
    folder = make_study(tmp_path, tasks=[FIVE], missing=none, examples=False)
    spec = folder.spec()
    assert [candidate.name for candidate in spec.candidates_of(spec.tasks[0])] == list(names)
    assert missing_runs(folder, spec) == ("5 classes: all 9 runs of its 3 candidates",)


def test_what_has_no_run_yet_says_what_it_will_stand_on(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=[FIVE], examples=False)
    spec = folder.spec()
    base = spec.candidates[0].name
    new = [
        {"name": "a", "from": base}, {"name": "b", "from": base, "tap": "output"},
        {"name": "c", "from": "timm:resnet18"},
    ]  # fmt: skip
    more = spec.model_copy(update={"candidates": (*spec.candidates, *map(CandidateSpec.model_validate, new))})
    rows = {row.name: row.model for row in summarise_study(folder, more).tasks[0].candidates}
    assert (rows["a"], rows["b"], rows["c"]) == (f"on {base}", f"on {base}'s output", "timm:resnet18")


def test_accuracy_over_seeds_is_bounded_over_seeds_and_images(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=[FIVE], examples=False)
    row = summarise_study(folder).tasks[0].candidate("model4")
    runs = [folder.run("5 classes", "model4", seed).read_predictions("test") for seed in (0, 1, 2)]
    right_SN = np.stack([run.correct_N for run in runs if run is not None])
    mean = right_SN.mean()
    seeds = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(right_SN.mean(axis=1)))
    shared = np.cov(right_SN)[~np.eye(3, dtype=bool)].mean() + 0.25 / 249
    images = proportion_wilson(mean, 250 * mean * (1 - mean) / shared)
    golden = (mean - joined_reach(mean - seeds[0], mean - images[0], 3, 0.05),
              mean + joined_reach(seeds[1] - mean, images[1] - mean, 3, 0.05))  # fmt: skip
    assert row.accuracy is not None
    assert (row.accuracy.low, row.accuracy.high) == pytest.approx(golden)
    assert (row.accuracy.n, row.accuracy.over) == (3, "seeds and images")


def proportion_wilson(share: float, n: float) -> tuple[float, float]:
    """Solve Wilson's quadratic (share - p)^2 = z^2 p (1 - p) / n for p."""
    z = stats.norm.ppf(0.975) ** 2 / n
    low, high = sorted(np.roots([1 + z, -(2 * share + z), share**2]))
    return low, high


def test_the_loss_over_seeds_counts_the_images_in_too(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=[FIVE], examples=False)
    row = summarise_study(folder).tasks[0].candidate("model4")
    runs = [folder.run("5 classes", "model4", seed).read_predictions("test") for seed in (0, 1, 2)]
    loss_SN = np.stack([run.loss_N for run in runs if run is not None]).astype(float)
    mean = loss_SN.mean()
    seeds = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(loss_SN.mean(axis=1)))
    shared = np.cov(loss_SN)[~np.eye(3, dtype=bool)].mean()
    over_images = stats.t.ppf(0.975, 249) * np.sqrt(shared / 250)
    assert row.loss is not None
    assert row.loss.high == pytest.approx(
        mean + joined_reach(seeds[1] - mean, over_images, 3, 0.05), rel=1e-5
    )
    assert row.loss.over == "seeds and images"


def test_two_equal_seeds_on_six_images_are_not_certain(tmp_path: Path) -> None:
    task = TaskSketch(name="5 classes", classes=2, test_images=6, validation_images=4)
    folder = make_study(tmp_path, tasks=[task], candidates=CANDIDATES[1:2], seeds=[0, 1], examples=False)
    first, second = (folder.run("5 classes", "model4", seed) for seed in (0, 1))
    record, other = first.read(), second.read()
    assert record is not None
    assert other is not None
    second.predictions_path.write_bytes(first.predictions_path.read_bytes())
    second.write(replace(other, metrics=record.metrics))
    accuracy = summarise_study(folder).tasks[0].candidates[0].accuracy
    assert accuracy is not None
    assert accuracy.half_width is not None
    assert accuracy.half_width > 0.25


def test_seeds_of_different_versions_of_a_network_are_ranked_with_nobody(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=[FIVE], examples=False)
    for candidate, digests in {"model4": ("new", "old", "old"), "model5": ("a", "b", "a")}.items():
        for seed, model_digest in enumerate(digests):
            run = folder.run("5 classes", candidate, seed)
            record = run.read()
            assert record is not None
            run.write(replace(record, model_digest=model_digest, model="nets/my_net.py:build"))
    task = summarise_study(folder).tasks[0]
    assert sorted(group.ranking for group in task.groups) == [("model1",), ("model4",), ("model5",)]
    assert {group.title for group in task.groups} == {
        "the task's recipe",
        "more than one version of nets/my_net.py among the seeds of model4",
        "more than one version of nets/my_net.py among the seeds of model5",
    }
    assert task.comparisons == ()
    (symptom,) = (s for s in task.candidate("model4").symptoms if s.kind == "version")
    assert symptom.text.startswith("its seeds are of different versions of nets/my_net.py, so it is ranked")


def test_seeds_under_different_controls_are_ranked_with_nobody_nor_with_each_other(tmp_path: Path) -> None:
    folder = make_study(tmp_path, tasks=[FIVE], examples=False)
    for candidate in ("model4", "model5"):
        run = folder.run("5 classes", candidate, 1)
        record = run.read()
        assert record is not None
        run.write(replace(record, control_digest="another"))
    task = summarise_study(folder).tasks[0]
    assert sorted(group.ranking for group in task.groups) == [("model1",), ("model4",), ("model5",)]
    assert "more than one control among the seeds of model4" in {group.title for group in task.groups}


def test_accuracy_of_one_seed_is_bounded_over_its_images(tmp_path: Path) -> None:
    row = summarise(tmp_path, CANDIDATES[1], seeds=[0]).candidates[0]
    assert row.accuracy is not None
    assert row.loss is not None
    assert row.validation_loss is not None
    assert (row.accuracy.n, row.accuracy.over) == (250, "images")
    golden = stats.binomtest(round(row.accuracy.mean * 250), 250).proportion_ci(method="wilson")
    assert (row.accuracy.low, row.accuracy.high) == pytest.approx((golden.low, golden.high))
    assert (row.loss.over, row.validation_loss.low) == ("images", None)  # validation was looked at
    assert row.loss.low < row.loss.mean < row.loss.high


def test_f1_and_balanced_accuracy_have_intervals_with_one_seed_and_with_several(tmp_path: Path) -> None:
    one = summarise(tmp_path / "one", CANDIDATES[1], seeds=[0]).candidates[0]
    three = summarise(tmp_path / "three", CANDIDATES[1]).candidates[0]
    for row, over in ((one, "images"), (three, "seeds and images")):
        for found in (row.macro_f1, row.balanced_accuracy):
            assert found.over == over
            assert found.low < found.mean < found.high
        # Classes are of equal size here, so balanced accuracy is accuracy, and nearly as sure.
        assert row.balanced_accuracy.mean == pytest.approx(row.accuracy.mean)
        ratio = (row.balanced_accuracy.high - row.balanced_accuracy.low) / (
            row.accuracy.high - row.accuracy.low
        )
        assert 0.85 < ratio < 1.15


def test_costs_are_means_over_the_finished_seeds(study: StudySummary) -> None:
    row = study.tasks[0].candidate("model1")  # seeds 0 and 2; seed 1 diverged
    assert row.train_seconds == pytest.approx(21.4 * 1.01)
    assert (row.parameters, row.trainable) == (8_460_000, 8_459_936)
    failed = study.tasks[1].candidate("model5")
    assert (failed.accuracy, failed.train_seconds, failed.finished) == (None, None, False)


def test_candidates_are_ranked_by_accuracy_and_the_unfinished_are_not(study: StudySummary) -> None:
    group = study.tasks[1].groups[0]
    assert (group.ranking, group.unranked) == (("model4", "model1"), ("model5",))
    assert [row.name for row in study.tasks[1].candidates] == ["model1", "model4", "model5"]  # as in the file
    best = study.tasks[1].best
    assert best is not None
    assert best.name == "model4"


def test_a_candidate_with_its_own_recipe_is_ranked_apart_and_its_difference_is_named(tmp_path: Path) -> None:
    own = CandidateSketch(name="own", skill=4.0, recipe={"batch_size": 32, "optimizer": {"lr": 0.01}})
    task = summarise(tmp_path, *CANDIDATES, own)
    assert [group.ranking for group in task.groups] == [("model4", "model5", "model1"), ("own",)]
    assert task.groups[0].title == "the task's recipe"
    assert "batch_size 32 instead of 64" in task.groups[1].title
    assert task.groups[1].differences["batch_size"] == [64, 32]
    assert not [c for c in task.comparisons if "own" in (c.first, c.second)]
    assert task.best is not None
    assert task.best.name == "model4"  # of the larger group, though "own" is more accurate
    assert task.verdict.startswith("Its candidates were trained under 2 controls and are ranked inside each.")


def test_all_pairs_of_a_group_are_compared_and_corrected_together(study: StudySummary) -> None:
    found = study.tasks[0].comparisons
    assert {frozenset((c.first, c.second)) for c in found} == {
        frozenset(pair) for pair in (("model1", "model4"), ("model1", "model5"), ("model4", "model5"))
    }
    assert [c.p_holm for c in found] == holm([c.p for c in found])
    assert next(c for c in found if "model1" in (c.first, c.second)).seeds == (0, 2)


def test_ours_is_held_against_what_was_published(study: StudySummary) -> None:
    better = study.tasks[0].candidate("model4").published
    worse = study.tasks[1].candidate("model4").published
    unfinished = study.tasks[1].candidate("model5").published
    assert better is not None
    assert worse is not None
    assert (better.at_least_as_accurate, worse.at_least_as_accurate, unfinished) == (True, False, None)
    assert better.accuracy_difference == pytest.approx(0.8613333 - 0.772)
    assert better.text == "at least as accurate as published: +8.9 points against 77.2 %"
    assert worse.text.startswith("less accurate than published: -")


def test_published_figures_have_the_digits_that_they_were_published_with(tmp_path: Path) -> None:
    precise = CandidateSketch(name="model4", skill=2.6, published={"accuracy": 0.2795})
    against = summarise(tmp_path, precise, seeds=[0]).candidates[0].published
    assert against is not None
    assert against.text.endswith("against 27.95 %")
    assert against.accuracy_difference is not None
    assert f"{100 * against.accuracy_difference:+.2f} points" in against.text


def test_an_accuracy_equal_to_the_published_one_is_at_least_as_accurate(tmp_path: Path) -> None:
    row = summarise(tmp_path / "a", CANDIDATES[2], seeds=[0]).candidates[0]
    assert row.accuracy is not None
    same = CandidateSketch(name="model5", skill=2.5, published={"accuracy": row.accuracy.mean})
    again = summarise(tmp_path / "b", same, seeds=[0]).candidates[0].published
    assert again is not None
    assert (again.at_least_as_accurate, again.inside_interval) == (True, True)


def test_the_winner_is_told_apart_when_the_difference_is_more_than_chance(tmp_path: Path) -> None:
    strong = CandidateSketch(name="strong", skill=4.5)
    task = summarise(tmp_path, CANDIDATES[0], strong)
    assert task.verdict.startswith("strong won with ")
    assert "told apart from the runner-up model1 (53.6 %): +45.7 points, corrected p < 0.001." in task.verdict
    assert task.groups[0].not_told_apart == ()


def test_equals_are_not_told_apart_and_the_cheapest_is_named(tmp_path: Path) -> None:
    # The original's finetune 2 and 3: the same weights of the same network, 0.626 against 0.573.
    dear = CandidateSketch(name="finetune 2", skill=2.0, train_seconds=300)
    cheap = CandidateSketch(name="finetune 3", skill=1.98, train_seconds=200, parameters=3_250_058)
    task = summarise(tmp_path, dear, cheap)
    assert task.groups[0].not_told_apart == (task.groups[0].ranking,)
    assert "cannot be told apart from" in task.verdict
    if task.groups[0].ranking[0] == "finetune 2":
        assert "The cheapest of these is finetune 3: 3 min of training, 3.3 M parameters." in task.verdict


def test_two_seeds_are_said_to_be_few(tmp_path: Path) -> None:
    task = summarise(tmp_path, *CANDIDATES[1:], seeds=[0, 1])
    assert "Two seeds say little about how seeds vary" in task.verdict


def test_a_verdict_over_fewer_seeds_says_which(tmp_path: Path) -> None:
    task = summarise(tmp_path, *CANDIDATES[1:], failed={("5 classes", "model5", 1)})
    assert "on seeds 0 and 2 that both finished" in task.verdict


def test_a_candidate_alone_is_compared_with_nobody(tmp_path: Path) -> None:
    assert summarise(tmp_path, CANDIDATES[1]).verdict == (
        "model4 reached 86.1 % (95 % interval 80.1 to 92.0 %); there is nothing to compare it with."
    )


def test_a_study_that_has_only_begun_can_be_summarised(tmp_path: Path) -> None:
    everything = {("5 classes", c.name, seed) for c in CANDIDATES for seed in (0, 1, 2)}
    task = summarise(tmp_path, *CANDIDATES, missing=everything)
    assert task.verdict == "No run of this task has finished. 9 of 9 runs are still to come."
    assert (task.groups, task.best, task.comparisons) == ((), None, ())
    assert task.candidate("model4").published is not None


def test_a_budget_group_is_titled_so_whatever_its_members_recipes_are(tmp_path: Path) -> None:
    task = TaskSketch(name="5 classes", classes=5, test_images=250, validation_images=125, control="budget")
    found = summarise(tmp_path, CANDIDATES[1], task=task)
    assert [group.title for group in found.groups] == ["the task's budget"]


def test_size_and_guess_come_from_the_records(study: StudySummary) -> None:
    five, sixteen = study.tasks
    assert (five.classes, five.test_images, five.guess) == (5, 250, 0.2)
    assert (sixteen.classes, sixteen.test_images, sixteen.guess) == (16, 320, 1 / 16)


def test_a_folder_without_a_study_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"holds no study: expected a file study\.lock"):
        summarise_study(StudyFolder(tmp_path))


def test_evidence_is_computed_without_torch() -> None:
    code = (
        "import sys, bakeoff.evidence.summarise, bakeoff.evidence.results, bakeoff.evidence.curves, "
        "bakeoff.evidence.confusion, bakeoff.report.terminal; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'torchvision', 'timm')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


STEADY = CandidateSketch(name="steady", skill=2.0, seed_spread=0.0)
LUCKY = CandidateSketch(name="lucky", skill=1.9, seed_spread=0.0)
WIDE_TEST = TaskSketch(name="5 classes", classes=5, test_images=2000, validation_images=125)


def with_lucky_seed(path: Path, skill: float) -> tuple[StudyFolder, TaskSummary]:
    """Make two equal candidates, of which one has a seed that is far better than all others."""
    folder = make_study(path, tasks=[WIDE_TEST], candidates=[STEADY, LUCKY], examples=False)
    write_run(folder, folder.spec(), WIDE_TEST, replace(LUCKY, skill=skill), 1, "finished", 3)
    return folder, summarise_study(folder).tasks[0]


def test_a_lucky_seed_that_does_not_carry_the_mean_does_not_win(tmp_path: Path) -> None:
    folder, task = with_lucky_seed(tmp_path, skill=2.1)
    by_run = {(run.candidate, run.seed): run.metric("test_accuracy") for run in folder.records()}
    assert max(by_run, key=by_run.__getitem__) == ("lucky", 1)
    assert task.groups[0].ranking == ("steady", "lucky")


def test_a_lucky_seed_that_carries_the_mean_is_not_told_apart(tmp_path: Path) -> None:
    folder, task = with_lucky_seed(tmp_path, skill=4.0)
    assert task.groups[0].ranking == ("lucky", "steady")
    pair = task.comparisons[0]
    assert abs(pair.difference) > 0.03
    assert not pair.told_apart
    assert "lucky came first with" in task.verdict
    assert "but cannot be told apart from steady" in task.verdict
    # The lucky seed by itself would have won, and far from chance.
    alone = folder.spec().model_copy(update={"seeds": (1,)})
    assert summarise_study(folder, alone).tasks[0].comparisons[0].p_holm < 1e-6


def test_a_difference_below_what_the_test_set_can_show_is_not_told_apart(tmp_path: Path) -> None:
    close = [CandidateSketch(name="a", skill=2.05), CandidateSketch(name="b", skill=2.0)]
    task = summarise(tmp_path, *close)
    pair = task.comparisons[0]
    assert pair.smallest is not None
    assert abs(pair.difference) < pair.smallest
    assert task.groups[0].not_told_apart != ()
    assert "cannot be told apart" in task.verdict
    assert f"it takes about {100 * pair.smallest:.1f} points to be told apart here" in task.verdict
    assert "250 test images and 3 seeds" in task.sensitivity


def test_winner_and_runner_up_are_compared_on_every_class(study: StudySummary) -> None:
    task = study.tasks[1]
    assert task.rivals == ("model4", "model1")
    assert len(task.by_class) == 16
    assert sum(one.difference * one.images for one in task.by_class) / 320 == pytest.approx(
        task.comparisons[0].difference
    )


def test_winner_and_runner_up_without_a_common_seed_are_compared_on_no_class(tmp_path: Path) -> None:
    missing = {("5 classes", CANDIDATES[0].name, 1), ("5 classes", CANDIDATES[1].name, 0)}
    folder = make_study(
        tmp_path / "s",
        tasks=TASKS[:1],
        candidates=CANDIDATES[:2],
        seeds=[0, 1],
        missing=missing,
        examples=False,
    )
    task = summarise_study(folder).tasks[0]
    assert task.rivals is not None
    assert task.by_class == ()
    assert task.comparisons == ()
