"""Training images that look like a given one, and no more of them than were asked for."""

import io
from dataclasses import replace

import layouts
import numpy as np
import pytest
from PIL import Image

from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.index import Index, evenly_by_class, index_path, write_index
from bakeoff.errors import ConfigError


@pytest.fixture(scope="module")
def bundle(exported):
    return Bundle.open(exported.path, threads=1)


@pytest.fixture(scope="module")
def images():
    return np.stack([layouts.picture(n % 3, n, 16, 16) for n in range(20)]), np.arange(20) % 3


def test_an_export_writes_one_of_its_training_images_and_no_others(exported, colours, bundle):
    index = Index.open(exported.index, bundle)
    training = [row["file"] for row in colours.read_manifest("colours") if row["part"] == "train"]
    assert exported.index == index_path(exported.path)
    assert sorted(index.keys_M.tolist()) == sorted(training)
    names = [bundle.class_names[label] for label in index.labels_M]
    assert names == [key.split("/")[0] for key in index.keys_M]


def test_an_image_of_the_index_is_most_like_itself(bundle, images, tmp_path):
    images_NHWC, labels_N = images
    keys = [f"{n}.png" for n in range(20)]
    assert write_index(tmp_path / "x.npz", bundle, images_NHWC, labels_N, keys) == 20
    index = Index.open(tmp_path / "x.npz", bundle)
    for asked, found in zip(range(20), index.nearest(bundle.embeddings_of(images_NHWC), k=3), strict=True):
        assert found[0].key == f"{asked}.png"
        assert found[0].likeness == pytest.approx(1, abs=2e-3)
        assert found[0].likeness >= found[1].likeness >= found[2].likeness
        thumbnail = np.asarray(Image.open(io.BytesIO(found[0].thumbnail))).astype(int)
        distance_N = np.abs(thumbnail - images_NHWC.astype(int)).mean(axis=(1, 2, 3))
        assert distance_N.argmin() == asked


def test_a_large_set_is_thinned_evenly(bundle, images, tmp_path):
    images_NHWC, labels_N = images
    assert write_index(tmp_path / "x.npz", bundle, images_NHWC, labels_N, ["é"] * 20, largest=7) == 6
    assert np.bincount(Index.open(tmp_path / "x.npz", bundle).labels_M).tolist() == [2, 2, 2]


def test_small_classes_give_all_they_have():
    labels_N = np.array([0] * 100 + [1] * 3 + [2] * 50)
    chosen_M = evenly_by_class(labels_N, 43)
    assert np.bincount(labels_N[chosen_M]).tolist() == [20, 3, 20]
    assert chosen_M[0] == 0
    assert chosen_M[19] == 99


def test_equal_images_give_equal_bytes(bundle, images, tmp_path):
    for name in ("x", "y"):
        write_index(tmp_path / f"{name}.npz", bundle, *images, [str(n) for n in range(20)])
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_the_index_of_another_run_or_none_is_refused(bundle, images, tmp_path):
    with pytest.raises(ConfigError, match="'bakeoff export --index' writes one"):
        Index.open(tmp_path / "x.npz", bundle)
    write_index(tmp_path / "x.npz", bundle, *images, [str(n) for n in range(20)])
    other = Bundle(bundle.path, bundle._session, replace(bundle.about, identity="other"))
    with pytest.raises(ConfigError, match="of another classifier"):
        Index.open(tmp_path / "x.npz", other)
    np.savez(tmp_path / "y.npz", labels=np.zeros(3))
    with pytest.raises(ConfigError, match="is no index of bakeoff, about is missing"):
        Index.open(tmp_path / "y.npz", bundle)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("labels", np.full(20, 3, np.int16)), ("labels", np.full(20, -1, np.int16)),
        ("labels", np.zeros(19, int)),
        ("labels", np.zeros(20)), ("keys", np.array(["x"] * 21)), ("offsets", np.zeros(20, np.int64)),
        ("offsets", np.arange(21)), ("thumbnails", np.zeros(3, np.uint8)), ("about", np.array("{")),
        ("about", np.array("3")), ("embeddings", np.zeros(())),
    ],
)  # fmt: skip
def test_an_index_whose_parts_do_not_fit_together_is_refused_when_it_is_opened(
    bundle, images, tmp_path, part, value
):
    write_index(tmp_path / "x.npz", bundle, *images, [str(n) for n in range(20)])
    parts = {**np.load(tmp_path / "x.npz"), part: value}
    np.savez(tmp_path / "x.npz", **parts)
    with pytest.raises(ConfigError, match=r"x\.npz: (is damaged|is no index|is the index of another)"):
        Index.open(tmp_path / "x.npz", bundle)
