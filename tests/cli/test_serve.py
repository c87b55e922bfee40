"""What `bakeoff serve` makes of its arguments; the server itself is tested in tests/deploy/serving."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bakeoff.cli import serve as command
from bakeoff.deploy.serving import server
from bakeoff.errors import ConfigError
from bakeoff.records import RunFolder
from bakeoff.use import Found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what would be served, and with which options."""
    found: list[Any] = []

    def serve(models: list[Path], **options: Any) -> int:
        found.extend([models, options])
        return 0

    monkeypatch.setattr(server, "serve", serve)
    return found


@pytest.mark.parametrize(
    ("text", "size"),
    [("20MiB", 20 * 2**20), ("500 KB", 500_000), ("1000000", 10**6), ("1.5kib", 1536), ("7b", 7)],
)
def test_sizes_are_read_with_their_unit(asked: list[Any], text: str, size: int) -> None:
    command.serve(["a.onnx"], max_bytes=text)
    assert asked[1]["limits"].max_bytes == size


@pytest.mark.parametrize("text", ["", "MiB", "20 parsecs", "nan", "1e999", "2MiBMiB"])
def test_a_size_that_is_none_is_refused(asked: list[Any], text: str) -> None:
    with pytest.raises(ConfigError, match=r"--max-bytes: got '.*', expected a size such as 20MiB"):
        command.serve(["a.onnx"], max_bytes=text)


def test_the_token_comes_from_the_option_or_else_from_the_environment(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_TOKEN", "theirs")
    command.serve(["a.onnx"], token="mine")
    command.serve(["a.onnx"])
    monkeypatch.delenv("BAKEOFF_TOKEN")
    command.serve(["a.onnx"])
    assert [options["token"] for options in asked[1::2]] == ["mine", "theirs", None]


def test_a_run_is_exported_once_in_a_process_of_its_own_and_again_when_it_is_new(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "seed-0"
    run.mkdir()
    (run / "record.json").write_text("{}")

    def stand_in(folder: Path, target: Path) -> list[str]:
        assert folder == run
        target.parent.mkdir(exist_ok=True, parents=True)
        code = "import sys; print('exported'); open(sys.argv[1], 'w').write('model')"
        return [sys.executable, "-c", code, str(target)]

    monkeypatch.setattr(command, "_export_command", stand_in)
    command.serve([str(run), "other.onnx"])
    first, other = asked[0]
    assert first.read_text() == "model"
    assert first.parent == tmp_path / "cache" / "served"
    assert other == Path("other.onnx")
    command.serve([str(run)])
    assert asked[2] == [first]
    assert capfd.readouterr().out.splitlines().count("exported") == 1
    (run / "record.json").touch()
    command.serve([str(run)])
    assert asked[4] != [first]
    assert capfd.readouterr().out.splitlines().count("exported") == 1


def test_of_a_study_the_run_is_exported_that_others_would_use(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    study, run = tmp_path / "study", tmp_path / "study" / "runs" / "t" / "c" / "seed-1"
    run.mkdir(parents=True)
    (run / "record.json").write_text("{}")
    (study / "study.lock").write_text('{"study": {}}')
    monkeypatch.setattr("bakeoff.use.find_runs", lambda path: Found((RunFolder(run),), f"chosen in {path}"))

    def stand_in(folder: Path, target: Path) -> list[str]:
        assert folder == run
        target.parent.mkdir(exist_ok=True, parents=True)
        return [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write('model')", str(target)]

    monkeypatch.setattr(command, "_export_command", stand_in)
    command.serve([str(study)])
    assert asked[0][0].read_text() == "model"


def test_a_folder_that_cannot_be_exported_is_refused(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        command, "_export_command", lambda folder, target: [sys.executable, "-c", "raise SystemExit(2)"]
    )
    with pytest.raises(ConfigError, match="could not be exported"):
        command.serve([str(tmp_path)])
    assert asked == []


def test_the_exporting_command_is_the_verb_of_this_package(tmp_path: Path) -> None:
    line = command._export_command(tmp_path, tmp_path / "x.onnx")
    assert line[:4] == [sys.executable, "-m", "bakeoff", "export"]
    assert line[line.index("--out") + 1] == str(tmp_path / "x.onnx")
