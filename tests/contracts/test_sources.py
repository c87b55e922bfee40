"""One contract for every data source and every form it comes in; a new source adds no test here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import layouts
import numpy as np
import pytest

from bakeoff.data import SOURCES, TaskData, prepare
from bakeoff.spec import TaskSpec

FORMS = {f"{data}/{form}": (data, make) for data, form, make in layouts.FORMS}
EMBEDDED = [name for name in SOURCES if not SOURCES[name].names]


@dataclass
class Case:
    """A source on disk, and how to prepare it."""

    data: str
    path: Path | None

    def prepare(self, cache_dir: Path, **task: object) -> TaskData:
        data = str(self.path) if self.data == "path" else self.data
        locations = {} if self.data == "path" or self.path is None else {self.data: self.path}
        return prepare(
            TaskSpec(name="t", data=data, **{"image_size": 16, **task}),
            locations=locations, base_dir=Path("/"), cache_dir=cache_dir, decoders=1, download=False,
        )  # fmt: skip


def made(name: str, root: Path, variant: int = 0) -> Case:
    if name in EMBEDDED:
        return Case(name, None)
    data, make = FORMS[name]
    return Case(data, make(root, variant))


@pytest.fixture(params=[*FORMS, *EMBEDDED], scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def root(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("source")


@pytest.fixture(scope="module")
def case(name: str, root: Path) -> Case:
    return made(name, root)


@pytest.fixture(scope="module")
def cache(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def before(root: Path, case: Case) -> dict[str, tuple[int, str]]:
    return state(root)


@pytest.fixture(scope="module")
def data(case: Case, cache: Path, before: object) -> TaskData:
    return case.prepare(cache)


def state(root: Path) -> dict[str, tuple[int, str]]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(f): (f.stat().st_mtime_ns, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files}


def test_every_named_source_is_under_this_contract() -> None:
    assert {data for data, _ in FORMS.values()} | set(EMBEDDED) >= set(SOURCES)


def test_images_are_rgb_squares_of_the_tasks_size(data: TaskData) -> None:
    assert isinstance(data.images_NHWC, np.memmap)
    assert data.images_NHWC.dtype == np.uint8
    assert data.images_NHWC.shape == (len(data.keys), 16, 16, 3)
    assert data.labels_N.shape == (len(data.keys),)
    assert data.labels_N.dtype == np.int64


def test_every_image_is_in_exactly_one_part(data: TaskData) -> None:
    parts = [data.train, data.validation, data.test]
    assert sorted(np.concatenate(parts)) == list(range(len(data.keys)))
    assert all(part.dtype == np.int64 and np.all(np.diff(part) > 0) for part in parts)


def test_every_class_is_in_every_part(data: TaskData) -> None:
    for part in (data.train, data.validation, data.test):
        assert set(data.labels_N[part]) == set(range(len(data.class_ids)))


def test_classes_are_sorted_and_have_a_name_each(data: TaskData) -> None:
    assert data.class_ids == sorted(data.class_ids)
    assert len(data.class_names) == len(data.class_ids) == len(set(data.class_names))


def test_labels_belong_to_their_images(name: str, data: TaskData) -> None:
    if name == "digits":
        from sklearn.datasets import load_digits

        assert list(data.labels_N) == list(load_digits().target)
        return
    drawn = [layouts.label_of(image_HWC) for image_HWC in data.images_NHWC]
    # FashionMNIST's classes have names, and the order of names is not that of its numbers.
    order = np.argsort(np.array(fashion_names())) if "FashionMNIST" in name else np.arange(10)
    assert [int(order[label]) for label in data.labels_N] == drawn


def fashion_names() -> list[str]:
    # github.com/zalandoresearch/fashion-mnist, README, "Labels", as torchvision spells them
    return ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
            "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]  # fmt: skip


def test_a_second_preparation_reads_the_cache(case: Case, cache: Path, data: TaskData) -> None:
    again = case.prepare(cache)
    assert (data.cached, again.cached) == (False, True)
    assert again.fingerprint == data.fingerprint
    assert np.array_equal(again.images_NHWC, data.images_NHWC)


def test_another_cache_gives_the_same_data(case: Case, tmp_path: Path, data: TaskData) -> None:
    again = case.prepare(tmp_path)
    assert not again.cached
    assert (again.fingerprint, again.split_digest) == (data.fingerprint, data.split_digest)
    assert np.array_equal(again.images_NHWC, data.images_NHWC)


def test_one_changed_image_changes_the_fingerprint_alone(name: str, tmp_path: Path, data: TaskData) -> None:
    if name in EMBEDDED:
        pytest.skip("its images are part of a library")
    other = made(name, tmp_path / "source", variant=1).prepare(tmp_path / "cache")
    assert other.fingerprint != data.fingerprint
    assert other.split_digest == data.split_digest
    assert (other.images_NHWC != data.images_NHWC).any(axis=(1, 2, 3)).sum() == 1


def test_the_same_data_elsewhere_has_the_same_identity(name: str, tmp_path: Path, data: TaskData) -> None:
    other = made(name, tmp_path / "elsewhere").prepare(tmp_path / "cache")
    assert (other.fingerprint, other.split_digest) == (data.fingerprint, data.split_digest)


def test_another_split_seed_reuses_the_images(case: Case, cache: Path, data: TaskData) -> None:
    other = case.prepare(cache, split_seed=1)
    assert other.cached
    assert other.fingerprint == data.fingerprint


def test_a_subset_of_classes_is_cut_as_in_the_whole(case: Case, tmp_path: Path, data: TaskData) -> None:
    subset = case.prepare(tmp_path, classes=2)
    assert subset.class_ids == data.class_ids[:2]
    for part in ("train", "validation", "test"):
        whole = {data.keys[index] for index in getattr(data, part) if data.labels_N[index] < 2}
        assert {subset.keys[index] for index in getattr(subset, part)} == whole


def test_the_users_files_stay_as_they_were(
    root: Path, before: dict[str, tuple[int, str]], case: Case, data: TaskData, tmp_path: Path
) -> None:
    case.prepare(tmp_path)
    assert state(root) == before


def test_the_description_adds_up(data: TaskData) -> None:
    told = data.describe()
    assert sum(told["parts"].values()) == told["images"] == len(data.keys)
    for part, count in told["parts"].items():
        assert sum(each[part] for each in told["classes"]) == count
    assert sum(told["modes"].values()) == told["images"]
