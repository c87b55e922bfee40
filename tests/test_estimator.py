"""scikit-learn's own checks of an estimator, and what a classifier of images promises beside them."""

import gc
import pickle
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor

import layouts
import numpy as np
import pytest
import small_study
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import bakeoff
from bakeoff import BakeoffError, ImageClassifier
from bakeoff.api import plan_training
from bakeoff.spec import Recipe
from bakeoff.study import Quiet
from bakeoff.training.loop import Stopped

# Every run collects garbage before it measures its memory; what is here now is none.
gc.freeze()

SETTINGS = {"image_size": 4, "steps": 20, "batch_size": 16, "lr": 0.003, "threads": 1}
QUICK = ImageClassifier("model1", **SETTINGS)

# Checks that scikit-learn knows and this classifier does not pass, each with its reason: none is known.
EXEMPT: dict[str, str] = {}


@parametrize_with_checks(
    [clone(QUICK).set_params(image_shape="square")], expected_failed_checks=lambda estimator: EXEMPT
)
def test_it_is_an_estimator_as_scikit_learn_checks_it(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def colours():
    """Forty-eight wide pictures of three colours, and the names of these."""
    labels = np.arange(48) % 3
    pixels_NHWC = np.stack([layouts.picture(4 * label, n, 8, 12) for n, label in enumerate(labels)])
    return pixels_NHWC, np.array(["rust", "ash", "moss"])[labels]


@pytest.fixture(scope="module")
def fitted(colours):
    return clone(QUICK).fit(*colours)


def same(one, other):
    return np.array_equal(one, other)


# What it takes


def test_images_of_any_kind_are_the_same_images(fitted, colours, tmp_path):
    pixels_NHWC, names = colours
    expected_NK = fitted.predict_proba(pixels_NHWC)
    files = [tmp_path / f"{n:02d}.png" for n in range(len(names))]
    for file, pixels_HWC in zip(files, pixels_NHWC, strict=True):
        Image.fromarray(pixels_HWC).save(file)
    names_of_files = [str(file) for file in files]
    opened = [Image.open(file) for file in files]
    mixed = [*files[:20], *opened[20:40], *pixels_NHWC[40:]]
    for images in (files, names_of_files, np.array(names_of_files), opened, list(pixels_NHWC), mixed,
                   pixels_NHWC.astype(float), pixels_NHWC.reshape(48, -1)):  # fmt: skip
        assert same(fitted.predict_proba(images), expected_NK)
    again = clone(QUICK).fit(files, names)
    assert same(again.predict_proba(files), expected_NK)
    assert not hasattr(again, "n_features_in_")
    assert again.image_shape_ is None
    assert fitted.n_features_in_ == 8 * 12 * 3
    assert fitted.image_shape_ == (8, 12, 3)


def test_fractions_and_rows_are_learned_from_as_bytes_are(fitted, colours):
    pixels_NHWC, names = colours
    expected_NK = fitted.predict_proba(pixels_NHWC)
    fractions = clone(QUICK).fit(pixels_NHWC / 255, names)
    assert same(fractions.predict_proba(pixels_NHWC / 255), expected_NK)
    assert same(fractions.predict_proba(pixels_NHWC), expected_NK)
    rows = clone(QUICK).set_params(image_shape=(8, 12, 3)).fit(pixels_NHWC.reshape(48, -1).tolist(), names)
    assert rows.score(pixels_NHWC.reshape(48, -1), names) == 1
    with pytest.raises(ValueError, match="numbers from 0 to 1, but fit saw numbers up to 255"):
        fitted.predict(pixels_NHWC / 255)


def test_images_of_another_size_are_drawn_to_the_same(fitted, colours):
    larger = [Image.fromarray(pixels).resize((60, 40), Image.Resampling.NEAREST) for pixels in colours[0]]
    assert fitted.score(larger, colours[1]) == 1


def test_labels_come_back_as_they_were_and_in_their_order(colours):
    pixels_NHWC, names = colours
    numbers = np.select([names == "rust", names == "ash"], [10, 2], 33)
    model = clone(QUICK).fit(pixels_NHWC, numbers)
    assert model.classes_.tolist() == [2, 10, 33]  # as texts, "10" would come first
    assert model.predict(pixels_NHWC).dtype == numbers.dtype
    assert model.score(pixels_NHWC, numbers) == 1
    assert clone(QUICK).fit(pixels_NHWC, names == "rust").predict(pixels_NHWC[:2]).tolist() == [True, False]


# How it trains


def test_every_key_of_a_recipe_is_a_parameter():
    assert set(Recipe.model_fields) <= set(QUICK.get_params())


def test_the_recipe_is_the_one_that_the_command_chooses(class_folders, tmp_path):
    files = sorted(class_folders.rglob("*.png"))
    model = ImageClassifier("model1", epochs=1, threads=1).fit(files, [file.parent.name for file in files])
    plan = plan_training("model1", class_folders, recipe={"epochs": 1}, out=tmp_path, threads=1)
    assert model.record_.recipe == plan.spec.recipe.model_dump(mode="json")
    assert model.record_.input_size == plan.spec.tasks[0].image_size
    assert model.said_ == plan.said


def test_a_pretrained_network_sees_its_own_size_and_not_one_that_the_machines_speed_decides(
    colours, monkeypatch
):
    monkeypatch.setattr("bakeoff.study.single.seconds_per_image", lambda *args, **more: 1e9)
    model = ImageClassifier("timm:tf_efficientnet_lite0", probe=True, threads=1)
    assert model.fit(colours[0][:12], colours[1][:12]).record_.input_size == 224


@pytest.mark.parametrize(
    ("images", "flip", "crop"), [("colour", "alternating", 2), ("grey", "none", 2), ("features", "none", 0)]
)
def test_what_may_be_writing_is_not_mirrored_and_features_are_not_shifted(colours, images, flip, crop):
    pixels_NHWC, names = colours
    given = {
        "colour": pixels_NHWC,
        "grey": pixels_NHWC[..., 0],
        "features": pixels_NHWC[..., 0].reshape(48, -1),
    }
    model = clone(QUICK).set_params(image_size=16, steps=1)
    if images == "features":
        model.set_params(image_shape="square")
    augmentation = model.fit(given[images], names).record_.recipe["augmentation"]
    assert (augmentation["flip"], augmentation["crop"]) == (flip, crop)
    model.set_params(augmentation={"crop": 1})
    augmentation = model.fit(given[images], names).record_.recipe["augmentation"]
    assert (augmentation["flip"], augmentation["crop"]) == (flip, 1)


def test_only_the_seed_makes_a_difference(fitted, colours):
    expected_NK = fitted.predict_proba(colours[0])
    for random_state, equal in ((0, True), (np.int64(0), True), (1, False), (None, False)):
        model = clone(QUICK).set_params(random_state=random_state).fit(*colours)
        assert same(model.predict_proba(colours[0]), expected_NK) == equal
    drawn = [clone(QUICK).set_params(random_state=np.random.RandomState(5)).fit(*colours) for _ in "ab"]
    assert same(*(model.predict_proba(colours[0]) for model in drawn))


def test_the_process_is_left_as_it_was(colours):
    def state():
        numpy = np.random.get_state()[1].tolist()  # noqa: NPY002 - it is about the global one
        return random.getstate(), numpy, torch.get_rng_state().tolist(), torch.get_num_threads()

    before = state()
    clone(QUICK).set_params(random_state=None, threads=2).fit(*colours).predict(colours[0])
    assert state() == before


@pytest.mark.parametrize("probe", [False, True])
def test_no_file_is_left(colours, tmp_path, monkeypatch, probe):
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("BAKEOFF_CACHE", str(cache))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    model = clone(QUICK)
    if probe:
        model = ImageClassifier("timm:tf_efficientnet_lite0", probe=True, input_size=32, threads=1)
    assert model.fit(*colours).score(*colours) > 0.9
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["scratch"]


def test_a_study_is_left_where_that_is_asked_for(fitted, colours, tmp_path):
    pixels_NHWC, names = colours
    model = clone(QUICK).set_params(out=tmp_path / "out").fit(pixels_NHWC, names)
    loaded = bakeoff.load(tmp_path / "out")
    assert loaded.class_names == tuple(model.classes_)
    assert same(loaded.probabilities(pixels_NHWC), model.predict_proba(pixels_NHWC))
    assert same(model.predict_proba(pixels_NHWC), fitted.predict_proba(pixels_NHWC))
    assert model.record_ == bakeoff.open_study(tmp_path / "out").records[0]
    assert clone(model).fit(pixels_NHWC, names).record_ == model.record_  # found, not trained again
    table = bakeoff.open_study(tmp_path / "out").table()
    assert "0 test images" in table
    assert "not tested" in table
    assert "It has no test images" in bakeoff.open_study(tmp_path / "out").report().read_text()


def test_a_listener_hears_and_may_stop(colours):
    class Stopper(Quiet):
        def on_step(self, job, step):
            return step.steps == 3

    model = clone(QUICK).set_params(listener=Stopper())
    with pytest.raises(Stopped):
        model.fit(*colours)
    with pytest.raises(NotFittedError):
        model.predict(colours[0])


# Where it is used


def test_it_works_in_validation_search_and_pipelines(colours):
    pixels_NHWC, names = colours
    assert cross_val_score(QUICK, list(map(Image.fromarray, pixels_NHWC)), names, cv=2).tolist() == [1, 1]
    search = GridSearchCV(QUICK, {"lr": [1e-7, 0.003]}, cv=2, refit=False).fit(pixels_NHWC, names)
    assert search.best_params_ == {"lr": 0.003}
    rows = make_pipeline(StandardScaler(), clone(QUICK).set_params(image_shape=(8, 12, 3)))
    assert rows.fit(pixels_NHWC.reshape(48, -1), names).score(pixels_NHWC.reshape(48, -1), names) > 0.9
    half = make_pipeline(FunctionTransformer(lambda images: images[:, ::2, ::2]), clone(QUICK))
    assert half.fit(pixels_NHWC, names).score(pixels_NHWC, names) == 1


def test_trainings_in_threads_do_not_disturb_each_other(colours, tmp_path):
    (tmp_path / "net.py").write_text(small_study.NET)
    model = clone(QUICK).set_params(model=str(tmp_path / "net.py:dropout"))  # draws from torch's generator

    def train(random_state):
        return clone(model).set_params(random_state=random_state).fit(*colours).predict_proba(colours[0])

    with ThreadPoolExecutor(2) as threads:
        beside = list(threads.map(train, (0, 1)))
    assert same(beside, [train(0), train(1)])


def test_a_pickle_predicts_the_same_even_with_a_network_of_ones_own(fitted, colours, tmp_path):
    (tmp_path / "net.py").write_text(small_study.NET)
    own = clone(QUICK).set_params(model=str(tmp_path / "net.py:plain")).fit(*colours)
    for model in (fitted, own):
        read = pickle.loads(pickle.dumps(model))
        assert same(read.predict_proba(colours[0]), model.predict_proba(colours[0]))


# What it refuses


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "modle1"}, "did you mean 'model1'"),
        ({"batch_size": 0}, r"recipe\.batch_size: got 0, expected .* \(ImageClassifier\)"),
        ({"epochs": 2}, "got epochs and steps, expected one of"),
        ({"lr": -1.0}, r"recipe\.optimizer\.lr: got -1.0"),
        ({"optimizer": "adma"}, r"recipe\.optimizer\.name: got 'adma'"),
        ({"validation": 1.5}, r"validation: got 1\.5"),
        ({"framing": "fill"}, "got 'fill', expected 'crop', 'pad' or 'stretch'"),
        ({"random_state": -1}, "random_state: got -1"),
        ({"random_state": True}, "random_state: got True"),
        ({"threads": 0}, "threads: got 0"),
        ({"device": "gpu"}, "device: got 'gpu'"),
        ({"candidate": {"hed": [3]}}, "hed: unknown key; did you mean 'head'"),
        ({"value_range": (3, 2)}, r"value_range: got \(3, 2\)"),
        ({"probe": True}, "steps: got 20 beside a probe"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line(colours, settings, message):
    model = clone(QUICK).set_params(**settings)
    with pytest.raises(ValueError, match=message) as caught:
        model.fit(*colours)
    assert isinstance(caught.value, BakeoffError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("a.png", "X: got one image, 'a.png'; expected a list of them"),
        (np.zeros((32, 32, 3)), r"got shape \(32, 32, 3\), which looks like one image"),
        (np.zeros((4, 8, 8, 2)), r"got shape \(4, 8, 8, 2\), expected"),
        (np.zeros((4, 10)), "rows of 10 numbers, which are no grey square"),
        (["a.png", 5, "b.png", "c.png"], r"X\[1\]: got 5"),
        (["gone.png"] * 4, "cannot be read"),
        (np.zeros((3, 8, 8)), "inconsistent numbers of samples"),
    ],
)
def test_wrong_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        clone(QUICK).fit(images, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 1, 1, 1], "y: got 1 class"),
        ([0, 0, 0, 1], "class '1' has 1 image to train on, expected at least 2"),
        ([0.5, 0.25, 0.1, 0.7], "continuous"),
        (np.array([1, "1", 0, 0], dtype=object), "."),
    ],
)
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises((ValueError, TypeError), match=message):
        clone(QUICK).fit(np.zeros((4, 8, 8), np.uint8), labels)


def test_a_training_that_fails_says_why_and_leaves_nothing_to_predict_with(fitted, colours):
    model = pickle.loads(pickle.dumps(fitted)).set_params(optimizer={"name": "sgd", "lr": 1e30}, lr=None)
    with pytest.raises(ValueError, match="fit: the training diverged: the loss was no longer finite"):
        model.fit(*colours)
    with pytest.raises(NotFittedError):
        model.predict(colours[0])
