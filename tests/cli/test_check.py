"""`bakeoff check`: what it prints, writes and returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from scenes import faulty_folder, save, scene

import bakeoff
from bakeoff.api import finding_names
from bakeoff.cli import main as command
from bakeoff.errors import ConfigError, UnknownNameError


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty_folder(tmp_path_factory.mktemp("faulty"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    for number in range(12):
        save(folder / ("ant" if number % 2 else "bee") / f"{number}.png", scene(number))
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bakeoff", "check", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        command.main()
    return int(ended.value.code or 0)


def test_it_prints_a_table_and_the_worst_by_name(
    faulty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, faulty) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "2 classes, 34 train, 9 validation, 10 test images, looked at in 48 pixels" in told.out
    rows = {line.split()[0]: line.split()[1] for line in told.out.splitlines() if len(line.split()) > 3}
    assert (rows["unreadable"], rows["leaks"], rows["conflicts"], rows["duplicates"]) == ("1", "5", "4", "1")
    flowing = " ".join(told.out.split())  # a long cell goes on in the next line
    assert "2 exact and 3 near of test; 0 exact and 0 near of validation" in flowing
    assert "  test/ant/1.png (test, ant) = train/bee/copy.png (train, bee): exact\n" in told.out
    assert "train/ant/cut.jpg: unreadable" in told.out
    assert "-> repair or remove them, or train with --on-corrupt exclude" in flowing


def test_sound_images_get_a_word_and_exit_code_0(
    sound: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, sound, "--fail-on", "all") == 0
    assert "Nothing was found." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "code"), [("leaks,unreadable", 1), ("unreadable", 1), ("imbalance", 0), ("all", 1), ("", 0)]
)
def test_the_exit_code_is_1_when_what_was_asked_for_is_found(
    asked: str, code: int, faulty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, faulty, "--fail-on", asked) == code
    assert ("--fail-on: found" in capsys.readouterr().err) == bool(code)


def test_a_wrong_name_is_refused_with_the_nearest_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "no-such-data", "--fail-on", "leaks,unredable") == 2
    told = capsys.readouterr().err
    assert told == "bakeoff: --fail-on: no finding named 'unredable'; did you mean 'unreadable'?\n"
    with pytest.raises(UnknownNameError):
        finding_names("leeks")


def test_json_is_the_record_and_nothing_else_on_the_output(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, faulty, "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["leaks"] == len(told["leaks"]) == 5
    assert told["leaks"][0]["first"] == {
        "index": told["leaks"][0]["first"]["index"], "file": "test/ant/0.png", "part": "test", "label": "ant",
    }  # fmt: skip
    assert (told["image_size"], told["version"]) == (48, 2)
    assert run(monkeypatch, faulty, "--format", "json", "--out", tmp_path / "sub" / "checks.json") == 0
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "sub" / "checks.json").read_text()) == told
    assert bakeoff.check(faulty).as_dict() == told


def test_a_table_goes_to_a_file_too(faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, faulty, "--out", tmp_path / "checks.txt") == 0
    assert "unreadable" in (tmp_path / "checks.txt").read_text()


def test_python_gives_the_same_with_its_counts(faulty: Path) -> None:
    told: list[str] = []
    found = bakeoff.check(faulty, image_size=32, progress=lambda stage, done, total: told.append(stage))
    assert found.counts["unreadable"] == 1
    assert found.failed(["leaks", "imbalance"]) == {"leaks": 5}
    assert "leaks" in found.table()
    assert set(told) == {"decoding", "measuring images", "looking for near duplicates"}


@pytest.mark.parametrize("size", [3, 2000])
def test_a_size_that_cannot_be_is_refused(size: int, faulty: Path) -> None:
    with pytest.raises(ConfigError, match=f"^--image-size: got {size}, expected 4 to 1024"):
        bakeoff.check(faulty, image_size=size)


def test_checking_does_without_torch(sound: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nimport bakeoff\n"
        "bakeoff.check(sys.argv[1], cache_dir=sys.argv[2], decoders=1)\nprint('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(sound), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
