from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.evidence.confusion import choose_examples, confusion_matrix, examples_for_task, most_confused
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.records import Predictions
from bakeoff.rng import generator


def drawn(seed: int, classes: int = 4, images: int = 90) -> Predictions:
    random = generator(seed, "confusion")
    probabilities = random.dirichlet(np.ones(classes), images)
    return summarise_probabilities(probabilities, random.integers(0, classes, images), np.arange(images))


def test_the_matrix_is_that_of_scikit_learn_summed_over_seeds() -> None:
    runs = [drawn(seed) for seed in (0, 1)]
    golden = sum(
        sklearn_metrics.confusion_matrix(run.label_N, run.top_NT[:, 0], labels=range(4)) for run in runs
    )
    assert confusion_matrix(runs, 4).tolist() == golden.tolist()


def test_rows_are_the_truth_and_columns_the_prediction() -> None:
    run = summarise_probabilities(np.float32([[0, 0, 1]]), np.array([1]), np.array([0]))
    assert np.argwhere(confusion_matrix([run], 3)).tolist() == [[1, 2]]


def test_a_class_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        confusion_matrix([drawn(0)], 2)


def test_pairs_come_by_count_then_rate_then_class() -> None:
    matrix = np.array([[10, 4, 0], [4, 20, 1], [0, 5, 0]])
    pairs = most_confused(matrix, ["cat", "dog", "fox"], 4)
    assert [(p.truth_name, p.predicted_name, p.count) for p in pairs] == [
        ("fox", "dog", 5), ("cat", "dog", 4), ("dog", "cat", 4), ("dog", "fox", 1),
    ]  # fmt: skip
    assert [p.rate for p in pairs] == pytest.approx([1.0, 4 / 14, 4 / 25, 1 / 25])
    assert most_confused(np.diag([3, 4]), ["a", "b"], 5) == []


def test_examples_show_what_their_words_say(tmp_path: Path) -> None:
    folder = make_study(tmp_path, seeds=[0, 1], diverged={("5 classes", "model5", 0)})
    choice = choose_examples(folder, "5 classes", 4)
    assert choice is not None
    assert choice.candidate == "model4"
    tests = {
        (c, s): p for c in ("model1", "model4", "model5") for s in (0, 1)
        if (p := folder.run("5 classes", c, s).read_predictions("test")) is not None
    }  # fmt: skip
    assert len(tests) == 5

    def predicted(run: Predictions, index: int) -> tuple[int, int]:
        row = run.index_N.tolist().index(index)
        return int(run.label_N[row]), int(run.top_NT[row, 0])

    for pair, shown in choice.confused:
        assert 1 <= len(shown) <= 3
        for example in shown:
            made = [predicted(tests["model4", seed], example.index) for seed in (0, 1)]
            assert (pair.truth, pair.predicted) in made
        mistake = (pair.truth, pair.predicted)
        repeats = [
            sum(predicted(tests["model4", seed], example.index) == mistake for seed in (0, 1))
            for example in shown
        ]
        assert repeats == sorted(repeats, reverse=True)  # mistakes that both seeds make come first
        assert sum(repeats) <= pair.count
        for example in shown:
            sure = [
                float(run.probability_NT[run.index_N.tolist().index(example.index), 0])
                for run in (tests["model4", seed] for seed in (0, 1))
                if predicted(run, example.index) == mistake
            ]
            assert example.surest == max(sure)
    for example in (*choice.easiest, *choice.hardest):
        outcomes = [predicted(run, example.index) for run in tests.values()]
        assert (example.right, example.runs) == (sum(t == p for t, p in outcomes), 5)
        assert example.label == outcomes[0][0]
        wrong = [p for t, p in outcomes if t != p]
        most = max((wrong.count(p) for p in wrong), default=0)
        commonest = min((p for p in wrong if wrong.count(p) == most), default=None)
        assert (example.mistaken_for, example.surest) == (commonest, None)
    assert {example.right for example in choice.easiest} == {5}
    assert {example.right for example in choice.hardest} == {0}
    assert len({example.label for example in choice.easiest}) == 4  # one of a class before a second


def test_the_choice_is_the_same_each_time_and_has_each_image_once(tmp_path: Path) -> None:
    folder = make_study(tmp_path, seeds=[0])
    for task in ("5 classes", "16 classes"):
        index = examples_for_task(folder, task)
        assert index.tolist() == sorted(set(index.tolist()))
        assert index.tolist() == examples_for_task(folder, task).tolist()
        assert sorted(folder.read_examples(task)) == index.tolist()


def test_a_task_without_predictions_has_no_examples(tmp_path: Path) -> None:
    task = TaskSketch(name="one", classes=3, test_images=12, validation_images=6)
    candidates = [CandidateSketch(name="a", skill=1)]
    folder = make_study(tmp_path, tasks=[task], candidates=candidates, seeds=[0], failed={("one", "a", 0)})
    assert choose_examples(folder, "one") is None
    assert examples_for_task(folder, "one").tolist() == []
