from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from studies import CandidateSketch, TaskSketch, make_study

from bakeoff.evidence.confusion import examples_for_task
from bakeoff.evidence.disagreement import choose_images, shown_images, speakers
from bakeoff.evidence.predictions import summarise_probabilities
from bakeoff.evidence.runs import load_runs
from bakeoff.records import Predictions

CLASSES = 8


def predictions(own_N: Sequence[float], labels_N: Sequence[int] | None = None) -> Predictions:
    """Make a run by the probability that it gives each image's label; the rest goes to the next class."""
    own = np.asarray(own_N, dtype=np.float32)
    labels = np.arange(len(own)) % CLASSES if labels_N is None else np.asarray(labels_N)
    probabilities_NK = np.zeros((len(own), CLASSES), dtype=np.float32)
    probabilities_NK[np.arange(len(own)), labels] = own
    probabilities_NK[np.arange(len(own)), (labels + 1) % CLASSES] = 1 - own
    return summarise_probabilities(probabilities_NK, labels, 100 + np.arange(len(own)))


def kinds(runs: Sequence[Predictions], k: int = 4) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"right": [], "disputed": [], "wrong": []}
    for image in choose_images(runs, k):
        found[image.kind].append(image.index - 100)
    return found


def test_each_image_is_of_the_kind_that_its_predictions_say() -> None:
    #                    all right  1 of 3 each       2 of 3      none
    best = predictions([0.9, 0.99, 0.8, 0.30, 0.20, 0.9, 0.10, 0.01])
    next_ = predictions([0.9, 0.90, 0.1, 0.95, 0.20, 0.9, 0.10, 0.20])
    last = predictions([0.9, 0.90, 0.2, 0.20, 0.80, 0.4, 0.10, 0.30])
    found = kinds([best, next_, last], 2)
    assert found == {"right": [1, 0], "disputed": [2, 3], "wrong": [7, 6]}
    counts = {image.index - 100: image.right for image in choose_images([best, next_, last], 2)}
    assert counts == {1: 3, 0: 3, 2: 1, 3: 1, 7: 0, 6: 0}
    assert {image.candidates for image in choose_images([best, next_, last])} == {3}


def test_half_of_the_disputed_images_go_to_the_best_and_half_to_the_second() -> None:
    best = predictions([0.9, 0.9, 0.9, 0.9, 0.9, 0.4, 0.3])
    next_ = predictions([0.4, 0.3, 0.2, 0.1, 0.0, 0.6, 0.9])
    assert kinds([best, next_])["disputed"] == [4, 3, 6, 5]  # apart the furthest first, on either side
    assert kinds([best, next_], 6)["disputed"] == [4, 3, 2, 1, 6, 5]  # of which one side has only two


def test_the_runs_that_are_divided_evenly_come_before_a_lone_dissenter() -> None:
    one = predictions([0.9, 0.9])
    two = predictions([0.1, 0.4])
    three, four = predictions([0.9, 0.9]), predictions([0.9, 0.2])
    assert kinds([one, two, three, four], 1)["disputed"] == [1]


def test_every_class_comes_once_before_any_comes_twice() -> None:
    labels = [3, 3, 3, 5, 5, 6]
    run = predictions([0.99, 0.98, 0.97, 0.9, 0.8, 0.7], labels)
    assert kinds([run, run], 4)["right"] == [0, 3, 5, 1]
    wrong = predictions([0.01, 0.02, 0.03, 0.1, 0.2, 0.3], labels)
    assert kinds([wrong, wrong], 4)["wrong"] == [0, 3, 5, 1]
    divided = choose_images([run, predictions([0.01] * 6, labels)], 3)
    assert [image.label for image in divided] == [3, 5, 6]


def test_what_most_get_right_or_wrong_stands_in_where_no_image_is_for_all() -> None:
    chance = predictions([0.1, 0.1, 0.9, 0.9])  # right where the others are wrong
    others = [predictions([0.9, 0.8, 0.2, 0.1]), predictions([0.9, 0.8, 0.2, 0.1])]
    images = choose_images([*others, chance], 1)
    assert [(image.index - 100, image.kind, image.right) for image in images] == [
        (0, "right", 2), (1, "disputed", 2), (3, "wrong", 1),
    ]  # fmt: skip


def test_a_lone_candidate_has_nobody_to_differ_from() -> None:
    found = kinds([predictions([0.9, 0.1, 0.8, 0.2])])
    assert found == {"right": [0, 2], "disputed": [], "wrong": [1, 3]}
    assert choose_images([]) == ()


def test_no_image_comes_twice_and_equal_predictions_give_equal_images() -> None:
    chance = np.random.default_rng(0)
    runs = [predictions(chance.random(300)) for _ in range(5)]
    images = choose_images(runs)
    assert len({image.index for image in images}) == len(images) == 12
    assert choose_images(runs) == images
    assert [image.kind for image in images] == 4 * ["right"] + 4 * ["disputed"] + 4 * ["wrong"]


def test_the_first_finished_seed_speaks_and_the_best_candidate_comes_first(tmp_path: Path) -> None:
    task = TaskSketch(name="one", classes=4, test_images=80, validation_images=20)
    candidates = [CandidateSketch(name=name, skill=skill) for name, skill in (("low", 0.5), ("high", 3.0))]
    folder = make_study(
        tmp_path, tasks=[task], candidates=candidates, seeds=[4, 7], diverged={("one", "high", 4)}
    )
    found = speakers(load_runs(folder))
    assert [(name, run.record.seed) for name, run in found.items()] == [("high", 7), ("low", 4)]
    images = shown_images(folder, "one")
    assert images == choose_images([run.test for run in found.values() if run.test])
    kept = examples_for_task(folder, "one").tolist()
    assert {image.index for image in images} <= set(kept)
    assert kept == sorted(set(kept))


def test_a_candidate_that_was_tested_on_other_images_does_not_speak(tmp_path: Path) -> None:
    task = TaskSketch(name="one", classes=4, test_images=80, validation_images=20)
    folder = make_study(tmp_path, tasks=[task], seeds=[0])
    run = folder.run("one", "model1", 0)
    test = run.read_predictions("test")
    assert test is not None
    run.write_predictions({"test": replace(test, index_N=test.index_N + 1)})
    assert list(speakers(load_runs(folder))) == ["model4", "model5"]


def test_a_task_without_predictions_shows_nothing(tmp_path: Path) -> None:
    assert shown_images(make_study(tmp_path), "none of these") == ()
