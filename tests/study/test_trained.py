"""A trained run is loaded as it was scored, and takes images from anywhere."""

import numpy as np
import pytest
import small_study
from PIL import Image

import bakeoff
from bakeoff.data.decode import load_image
from bakeoff.errors import ConfigError, DataError
from bakeoff.models import architecture
from bakeoff.study.trained import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory, class_folders):
    """A study of a network and one on it, on class folders."""
    values = small_study.study(
        task=[{"name": "colours", "data": str(class_folders), "image_size": 16}],
        candidate=[
            {"name": "base", "model": "mobilenet-0.25"},
            {"name": "tuned", "from": "base", "head_start": "probe", "source_norms": "kept"},
            {"name": "viewed", "from": "base", "recipe": {"test_views": "six", "sizes": [[8, 1.0]]}},
            {
                "name": "described",
                "network": {
                    "patch": 2,
                    "whiten": 2,
                    "stem_width": 4,
                    "stages": [{"width": 8, "down": "pool"}],
                },
            },
            {"name": "on it", "from": "described", "train": "head"},
        ],
    )
    return small_study.train(tmp_path_factory.mktemp("trained"), values).folder


@pytest.mark.parametrize("name", ["base", "tuned", "viewed", "described", "on it"])
def test_files_are_classified_exactly_as_the_test_images_were(folder, name, class_folders):
    run = folder.run("colours", name, 0)
    files = [class_folders / row["file"] for row in folder.read_manifest("colours") if row["part"] == "test"]
    stored_NK = np.load(run.probabilities_path)["test"]
    trained = load(run.path, raw=True)
    assert np.array_equal(trained.probabilities(files), stored_NK)
    assert trained.class_names == tuple(folder.read_task("colours").class_names)
    names = [trained.class_names[k] for k in stored_NK.argmax(axis=1)]
    assert trained.predict(files) == trained.predict(str(file) for file in files) == names


def test_the_choice_of_a_study_is_one_call_away(folder, class_folders):
    result = bakeoff.open_study(folder.path)
    best = result.recommended()
    run = folder.run(best.task, best.candidate, best.seed)
    file = next(class_folders.rglob("*.png"))
    expected = load(run.path).probabilities(file)
    assert np.array_equal(result.load().probabilities(file), expected)
    assert np.array_equal(result.load(best).probabilities(file), expected)


def test_one_image_is_as_good_as_a_list(folder, class_folders):
    trained = bakeoff.load(folder.run("colours", "base", 0).path)
    file = next(class_folders.rglob("*.png"))
    as_path = trained.probabilities(file)
    assert as_path.shape == (1, 3)
    assert np.array_equal(trained.probabilities(Image.open(file)), as_path)
    pixels_HWC = np.asarray(Image.open(file).convert("RGB"))
    assert np.array_equal(trained.probabilities(pixels_HWC), as_path)
    assert np.array_equal(trained.probabilities(load_image(file, 16)[None]), as_path)
    assert trained.probabilities([]).shape == (0, 3)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 5), np.uint8)]
)
def test_arrays_of_other_kinds_are_refused(folder, pixels):
    with pytest.raises(ConfigError, match="expected uint8"):
        load(folder.run("colours", "base", 0).path).predict([pixels])


def test_files_that_are_no_images_are_refused(folder, tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png"):
        load(folder.run("colours", "base", 0).path).predict(tmp_path / "a.png")


def test_a_folder_without_an_ended_run_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"load: .*nowhere.* holds no run that has ended"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"load: .* holds no run that has ended"):
        load(folder.run("colours", "base", 1).path)


def test_a_described_network_of_another_version_is_refused_before_its_weights_are_read(folder, monkeypatch):
    monkeypatch.setattr(architecture, "MACRO_VERSION", 99)
    with pytest.raises(ConfigError, match=r"another version of bakeoff was at work when .* train it again"):
        load(folder.run("colours", "described", 0).path)
    load(folder.run("colours", "base", 0).path)


@pytest.mark.parametrize("images", [5, [None], [np.zeros((0, 0, 3), np.uint8)]])
def test_what_is_no_image_is_refused(folder, images):
    with pytest.raises(ConfigError, match="images: got"):
        load(folder.run("colours", "base", 0).path).predict(images)


def test_an_unknown_device_is_refused(folder):
    with pytest.raises(ConfigError, match="got 'gpu', expected auto"):
        load(folder.run("colours", "base", 0).path, device="gpu")


def test_a_run_on_an_earlier_studys_run_is_loaded_too(folder, tmp_path, class_folders):
    earlier = str(folder.run("colours", "tuned", 0).path)
    values = small_study.study(
        task=[{"name": "colours", "data": str(class_folders), "image_size": 16}],
        candidate=[{"name": "third", "from": earlier, "train": "head"}],
    )
    later = small_study.train(tmp_path, values).folder
    run = later.run("colours", "third", 0)
    files = [class_folders / row["file"] for row in later.read_manifest("colours") if row["part"] == "test"]
    assert np.array_equal(
        load(run.path, raw=True).probabilities(files), np.load(run.probabilities_path)["test"]
    )


def test_a_network_of_ones_own_is_loaded_from_its_file_while_that_is_as_it_was(tmp_path):
    folder = small_study.train(tmp_path).folder
    run = folder.run("digits", "plain", 0).path
    pixels_HWC = np.zeros((8, 8, 3), np.uint8)
    assert load(run, base_dir=tmp_path).probabilities(pixels_HWC).shape == (1, 3)
    with pytest.raises(ConfigError, match=r"net\.py"):
        load(run, base_dir=tmp_path / "elsewhere")
    (tmp_path / "net.py").write_text(small_study.NET + "\n# another version\n")
    with pytest.raises(ConfigError, match=r"net\.py:plain is not as it was"):
        load(run, base_dir=tmp_path)
