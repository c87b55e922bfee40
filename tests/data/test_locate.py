from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import layouts
import pytest

from bakeoff.data import locate
from bakeoff.data.catalog import SOURCES
from bakeoff.data.download import Official
from bakeoff.data.locate import open_source, variable_of
from bakeoff.data.source import Opening, Progress
from bakeoff.errors import ConfigError, DataError, ResourceError, UnknownNameError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SOURCES:
        monkeypatch.delenv(variable_of(name), raising=False)


def place(
    data: str, opening: Opening, base_dir: Path = Path("/"), locations: dict[str, Path] | None = None
) -> str:
    return open_source(data, locations or {}, base_dir, opening).place


def test_a_named_source_is_looked_for_in_the_promised_order(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, variable = (layouts.tiny_imagenet(tmp_path / name) for name in ("given", "variable"))
    here = layouts.tiny_imagenet(opening.data_dir / "tiny-imagenet-200")
    assert place("tiny-imagenet", opening) == str(here)
    monkeypatch.setenv("BAKEOFF_TINY_IMAGENET", str(variable))
    assert place("tiny-imagenet", opening) == str(variable)
    assert place("tiny-imagenet", opening, locations={"tiny-imagenet": given}) == str(given)


def test_a_source_that_comes_with_a_package_is_not_read_from_a_path(tmp_path: Path, opening: Opening) -> None:
    with pytest.raises(ConfigError, match=r"--data digits: got .*, but digits comes with a package"):
        place("digits", opening, locations={"digits": tmp_path})


def test_at_last_the_official_file_is_downloaded_into_the_data_folder(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Official] = []

    def fetch(official: Official, target: Path, _progress: Progress) -> Path:
        asked.append(official)
        target.parent.mkdir(parents=True)
        return layouts.tiny_imagenet_zip(tmp_path).rename(target)

    monkeypatch.setattr(locate, "fetch", fetch)
    opening = replace(opening, download=True)
    archive = opening.data_dir / "tiny-imagenet-200.zip"
    assert place("tiny-imagenet", opening) == f"{archive}!tiny-imagenet-200/"
    assert place("tiny-imagenet", opening) == f"{archive}!tiny-imagenet-200/"
    assert asked == [SOURCES["tiny-imagenet"].official]  # the second time it lies there


def test_without_downloads_the_message_says_what_from_where_and_where_to(opening: Opening) -> None:
    with pytest.raises(ResourceError) as caught:
        place("cifar10", opening)
    assert str(caught.value) == (
        "data: cifar10 is not on this machine and downloads are off; fetch "
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz and put it at "
        f"{opening.data_dir}/cifar-10-python.tar.gz, or use --data cifar10=PATH"
    )


def test_the_official_file_of_cifar10_is_the_one_torchvision_knows() -> None:
    # torchvision carries the publisher's address and checksum of CIFAR-10; Tiny ImageNet it does not have.
    from torchvision.datasets import CIFAR10

    official = SOURCES["cifar10"].official
    assert official is not None
    assert (official.url, official.md5, official.file) == (CIFAR10.url, CIFAR10.tgz_md5, CIFAR10.filename)


def test_a_given_path_that_is_missing_is_named_with_its_flag(tmp_path: Path, opening: Opening) -> None:
    with pytest.raises(ConfigError, match=f"--data tiny-imagenet: no file or folder {tmp_path}/gone"):
        place("tiny-imagenet", opening, locations={"tiny-imagenet": tmp_path / "gone"})


def test_a_variable_that_points_nowhere_is_named(
    tmp_path: Path, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_CIFAR10", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=f"BAKEOFF_CIFAR10: no file or folder {tmp_path}/gone"):
        place("cifar10", opening)


def test_a_path_is_relative_to_the_study(tmp_path: Path, opening: Opening) -> None:
    layouts.class_folders(tmp_path / "pets")
    assert place("pets", opening, tmp_path) == str(tmp_path / "pets")


def test_a_given_path_stands_for_any_name(class_folders: Path, opening: Opening) -> None:
    assert place("my pets", opening, locations={"my pets": class_folders}) == str(class_folders)


def test_an_unknown_name_suggests_the_nearest_source(opening: Opening) -> None:
    with pytest.raises(UnknownNameError, match=r"no source named 'tiny-imagnet' .* mean 'tiny-imagenet'"):
        place("tiny-imagnet", opening)


@pytest.mark.parametrize("data", ["./pets", "pets.zip", "a/b"])
def test_a_missing_path_is_named(data: str, tmp_path: Path, opening: Opening) -> None:
    with pytest.raises(ConfigError, match="data: no file or folder /"):
        place(data, opening, tmp_path)


@pytest.mark.parametrize(
    ("make", "start"),
    [
        (layouts.tiny_imagenet, "Tiny ImageNet"),
        (layouts.tiny_imagenet_zip, "Tiny ImageNet"),
        (layouts.cifar10_archive, "CIFAR-10"),
        (layouts.class_zip, "class folders"),
        (layouts.table, "images listed"),
    ],
)
def test_a_paths_layout_is_recognised_by_what_it_holds(
    make: object, start: str, tmp_path: Path, opening: Opening
) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    assert open_source(str(path), {}, Path("/"), opening).sentence.startswith(start)


def test_a_file_of_another_kind_is_refused(tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "data.parquet").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"data\.parquet, expected a folder, \.zip, \.tar .* or \.csv"):
        place("data.parquet", opening, tmp_path)


def test_tiny_imagenet_without_its_annotations_is_not_read_as_class_folders(
    tmp_path: Path, opening: Opening
) -> None:
    (layouts.tiny_imagenet(tmp_path) / "val" / "val_annotations.txt").unlink()
    with pytest.raises(DataError, match=r"no val/val_annotations\.txt"):
        place(str(tmp_path), opening)
