"""`bakeoff run`: what it does with good input, and one line for every kind of bad input."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import layouts
import pytest
import small_study

from bakeoff.cli.main import main
from bakeoff.records import StudyFolder
from bakeoff.study import run_study
from bakeoff.training import machine

Refused = Callable[..., str]

CANDIDATES = small_study.study()["candidate"]
TASK = small_study.study()["task"][0]


def _tree(folder: Path) -> dict[str, object]:
    """See every file with its content, and every folder."""
    return {str(path): path.is_dir() or path.read_bytes() for path in sorted(folder.rglob("*"))}


def _main(*arguments: object) -> int:
    """Run the command line in this process; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bakeoff", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a small study in it."""
    monkeypatch.chdir(tmp_path)
    small_study.write(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must be refused with one line and must write nothing; return the line."""

    def check(*arguments: object) -> str:
        before = _tree(here)
        capsys.readouterr()
        code = _main(*arguments)
        errors = capsys.readouterr().err
        assert code == 2
        assert errors.startswith("bakeoff: ")
        assert errors.count("\n") == 1
        assert errors.endswith("\n")
        assert _tree(here) == before
        return errors.removeprefix("bakeoff: ").removesuffix("\n")

    return check


def _run(*more: object) -> int:
    return _main("run", "small.toml", "--threads", 1, "--device", "cpu", *more)


# Good input


def test_a_study_is_run_reported_and_not_run_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run() == 0
    out = here / "studies" / "small"
    first = capsys.readouterr().out
    assert "digits / plain / seed 0: finished, test accuracy " in first
    assert "2 of 2 runs have ended" in first
    assert f"Report: {Path('studies/small/report.html')}" in first
    assert sorted(path.name for path in out.iterdir()) == [
        ".claim", "report.html", "results.csv", "results.json", "runs", "study.lock", "tasks",
    ]  # fmt: skip
    before = small_study.contents(out / "runs")
    assert _run() == 0
    assert "2 runs, 2 of them done before" in capsys.readouterr().out
    assert small_study.contents(out / "runs") == before


def test_the_exit_code_is_1_when_a_run_failed_and_the_reason_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_study.write(here, candidate=[{"name": "broken", "model": "net.py:broken"}, CANDIDATES[0]])
    assert _run() == 1
    told = capsys.readouterr().out
    assert "digits / broken / seed 0: failed, model: net.py:broken failed on one image of 3x8x8" in told
    assert "digits / plain / seed 0: finished" in told


def test_the_flags_choose_a_part_and_the_folder(here: Path) -> None:
    small_study.write(here, seeds=[0, 1], task=[TASK, {**TASK, "name": "four", "classes": 4}])
    assert _run("--out", "here", "--task", "four", "--only", "dropout", "--seed", 1) == 0
    (record,) = StudyFolder(here / "here").records()
    assert (record.task, record.candidate, record.seed) == ("four", "dropout", 1)
    assert not (here / "studies").exists()


def test_a_dry_run_prints_the_plan_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _tree(here)
    assert _run("--dry-run") == 0
    assert _tree(here) == before
    told = capsys.readouterr().out
    assert "nothing was trained" in told
    assert "dropout" in told


def test_unreadable_images_may_be_left_out_for_every_candidate(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _animals(here)
    (here / "animals" / "ant" / "3.png").write_bytes(b"")
    assert _run("--on-corrupt", "exclude") == 0
    assert "animals: 1 unreadable images are left out for every candidate" in capsys.readouterr().out
    task = StudyFolder(here / "studies" / "small").read_task("animals")
    assert task is not None
    assert [entry["file"] for entry in task.excluded] == ["ant/3.png"]
    assert sum(task.counts.values()) == 35


def test_the_place_of_the_data_may_be_given_with_or_without_its_name(here: Path, tiny_imagenet: Path) -> None:
    _tiny(here)
    assert _run("--data", tiny_imagenet, "--out", "a") == 0
    assert _run("--data", f"tiny-imagenet={tiny_imagenet}", "--out", "b") == 0
    (here / "run=3").symlink_to(tiny_imagenet)
    assert _run("--data", here / "run=3", "--out", "c") == 0
    first, second = (next(StudyFolder(here / name).records()) for name in "ab")
    assert first.identity == second.identity


# Flags


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--only", "plian"], "--only: got 'plian'; did you mean 'plain'?"),
        (["--task", "digit"], "--task: got 'digit'; did you mean 'digits'?"),
        (["--seeds", "2"], "--seeds: got 2, expected a number from 1 to 1, as many as the study has"),
        (["--seed", "7"], "--seed: got 7, expected one of the study's seeds: 0"),
        (["--seed", "0", "--seeds", "1"], "--seeds and --seed: got both, expected at most one of them"),
        (["--threads", "0"], "--threads: got 0, expected a whole number of at least 1"),
        (["--device", "gpu"], "--device: got 'gpu', expected auto, cpu, cuda or cuda:N"),
        (["--data", "digits="], "--data: got 'digits=', expected NAME=PATH"),
        (["--data", "~nobody-of-this-name/x"], "--data digits: no file or folder"),
        (["--data", "digit=/tmp"], "data: got 'digit', expected one of the study's sources: digits"),
        (["--out", "net.py"], "--out: net.py: Not a directory; expected a new or a study's folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_flag_is_refused(refused: Refused, arguments: list[str], line: str) -> None:
    assert refused("run", "small.toml", *arguments).startswith(line)


# typer words these, each version in its own way: they name the flag, what came and what is accepted.
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "small.toml", "--treads", "1"], ["--treads", "--threads"]),
        (["run", "small.toml", "--seeds", "two"], ["--seeds", "'two'", "integer"]),
        (["run", "small.toml", "--on-corrupt", "skip"], ["--on-corrupt", "'skip'", "stop", "exclude"]),
        (["run", "small.toml", "--seed"], ["--seed", "argument"]),
        (["run", "a.toml", "b.toml"], ["argument", "b.toml"]),
        (["run"], ["argument", "study"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_the_command_line_cannot_be_is_refused(
    refused: Refused, arguments: list[str], named: list[str]
) -> None:
    line = refused(*arguments)
    assert [name for name in named if name not in line.lower()] == []
    assert line.endswith("; see bakeoff --help")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?; see bakeoff --help"),
        (["--colour"], "No such option: --colour"),
        (
            ["run", "clasic"],
            "study: got 'clasic', expected a TOML file, a folder with a study.toml or a shipped study; "
            "did you mean 'classic'?",
        ),
        (["run", "smal.toml"], "study: no file smal.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_is_refused(refused: Refused, arguments: list[str], line: str) -> None:
    assert refused(*arguments).startswith(line)


def test_a_gpu_that_is_not_there_is_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    assert refused("run", "small.toml", "--device", "cuda") == (
        "--device: got 'cuda', but PyTorch sees 0 CUDA devices here; expected cpu or auto"
    )


# The study's file


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("seeds =", "sedes =", "sedes: unknown key; did you mean 'seeds'? (small.toml)"),
        ("[[candidate]]", "[[candidat]]", "candidat: unknown key; did you mean 'candidate'? (small.toml)"),
        ("batch_size", "batchsize", "recipe.batchsize: unknown key; did you mean 'batch_size'? (small.toml)"),
        ("image_size", "img_size", "task[1].img_size: unknown key; did you mean 'image_size'? (small.toml)"),
        ("classes = 3", "classes = 0", "task[1].classes: got 0, expected at least 2 classes (small.toml)"),
        ("classes = 3", "classes = 11", "classes: got 11, expected at most 10, all of the data's"),
        ('"net.py:plain"', '"modle4"', "no model named 'modle4'; did you mean 'model4'?"),
        ('"net.py:plain"', '"nett.py:plain"', "model: no file {here}/nett.py"),
        ("epochs = 2", "epochs = -1", "recipe.epochs: got -1, expected a number above 0 (small.toml)"),
        ("[[task]]", "[[task", "small.toml is not valid TOML: "),
        (
            'data = "digits"',
            'data = "digist"',
            "data: no source named 'digist' and no such path; did you mean 'digits'?",
        ),
        ('data = "digits"', 'data = "./images"', "data: no file or folder {here}/images"),
    ],
)
def test_a_wrong_line_in_the_file_is_refused(
    refused: Refused, here: Path, old: str, new: str, line: str
) -> None:
    file = here / "small.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    assert refused("run", "small.toml").startswith(line.format(here=here))


# The images


def _animals(here: Path) -> Path:
    """Make a study of class folders in `animals`."""
    task = {"name": "animals", "data": "animals", "image_size": 8}
    small_study.write(here, task=[task], candidate=CANDIDATES[:1])
    return layouts.class_folders(here / "animals")


def _tiny(here: Path) -> None:
    """Make a study of Tiny ImageNet."""
    task = {"name": "tiny", "data": "tiny-imagenet", "image_size": 8}
    small_study.write(here, task=[task], candidate=CANDIDATES[:1])


def test_a_folder_without_images_is_refused(refused: Refused, here: Path) -> None:
    shutil.rmtree(_animals(here))
    (here / "animals" / "ant").mkdir(parents=True)
    (here / "animals" / "ant" / "notes.txt").write_text("no images")
    assert f"{here}/animals" in (line := refused("run", "small.toml"))
    assert line.startswith("data: no images in ")


def test_a_folder_with_one_class_is_refused(refused: Refused, here: Path) -> None:
    folder = _animals(here)
    for name in ("bee", "cat"):
        shutil.rmtree(folder / name)
    assert refused("run", "small.toml") == f"data: one class ('ant') in {folder}, expected at least 2"


def test_a_class_with_one_image_is_refused(refused: Refused, here: Path) -> None:
    for file in sorted((_animals(here) / "bee").iterdir())[1:]:
        file.unlink()
    assert refused("run", "small.toml") == (
        "data: class 'bee' has 1 image to train on, expected at least 3 (train, test, validation)"
    )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("3.png", b"", "ant/3.png: an empty file"),
        ("3.jpg", b"just a text", "ant/3.jpg: not an image"),
        ("3.jpg", None, "ant/3.jpg: unreadable (image file is truncated"),
    ],
    ids=["zero bytes", "text", "truncated"],
)
def test_an_unreadable_image_is_named_with_the_way_out(
    refused: Refused, here: Path, name: str, content: bytes | None, reason: str
) -> None:
    folder = _animals(here) / "ant"
    (folder / "3.png").unlink()
    if content is None:
        layouts.save(folder / name, layouts.picture(0, 0, 64, 64))
        content = (folder / name).read_bytes()[:-2000]
    (folder / name).write_bytes(content)
    line = refused("run", "small.toml")
    assert line.startswith("data: 1 file in ")
    assert reason in line
    assert line.endswith("repair or remove them, or leave them out with --on-corrupt exclude")


def test_a_zip_that_reaches_out_of_itself_is_refused(refused: Refused, here: Path) -> None:
    archive = layouts.zipped(_animals(here), here / "animals.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../../evil.png", b"")
    assert refused("run", "small.toml", "--data", archive) == (
        "animals.zip: member '../../evil.png' leaves the archive, expected relative paths"
    )


def test_a_path_that_is_not_there_is_refused(refused: Refused, here: Path) -> None:
    _tiny(here)
    line = f"--data tiny-imagenet: no file or folder {here}/nowhere"
    assert refused("run", "small.toml", "--data", here / "nowhere") == line
    assert refused("run", "small.toml", "--data", f"tiny-imagenet={here}/nowhere") == line


def test_data_that_is_nowhere_is_refused_with_where_to_put_it(refused: Refused, here: Path) -> None:
    _tiny(here)
    line = refused("run", "small.toml", "--no-download")
    assert line.startswith("data: tiny-imagenet is not on this machine and downloads are off; fetch http")
    assert line.endswith("or use --data tiny-imagenet=PATH")


def test_tiny_imagenet_without_annotations_is_refused(refused: Refused, here: Path) -> None:
    _tiny(here)
    data = layouts.tiny_imagenet(here / "tiny")
    (data / "val" / "val_annotations.txt").unlink()
    assert refused("run", "small.toml", "--data", data) == (
        f"data: no val/val_annotations.txt in {data}, expected Tiny ImageNet's official layout"
    )


def test_classes_that_are_tested_and_not_trained_are_refused(refused: Refused, here: Path) -> None:
    _tiny(here)
    data = layouts.tiny_imagenet(here / "tiny")
    annotations = data / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("n01641577", "n09999999"))
    line = refused("run", "small.toml", "--data", data)
    assert line.startswith("data: test has classes without training images: 'n09999999'")


# The folder


def test_a_folder_of_another_study_is_refused(refused: Refused, here: Path) -> None:
    assert _run("--only", "plain") == 0
    small_study.write(here, recipe={"epochs": 3})
    assert refused("run", "small.toml", "--threads", 1) == (
        "--out: studies/small holds another study, differing in recipe.epochs; use another folder"
    )


def test_a_folder_of_somebody_else_is_refused(refused: Refused, here: Path) -> None:
    (here / "papers").mkdir()
    (here / "papers" / "thesis.tex").write_text("years of work")
    assert refused("run", "small.toml", "--out", "papers") == (
        "--out: papers is not empty and holds no study; expected a new or a study's folder"
    )


HOLD = """
import sys
from pathlib import Path
from bakeoff.records import claim_folder
with claim_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_on_the_same_study_is_refused(refused: Refused, here: Path) -> None:
    command = [sys.executable, "-c", HOLD, "studies/small"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        assert refused("run", "small.toml", "--threads", 1) == (
            f"studies/small is in use by process {first.pid}; wait for it to end, or use another --out"
        )
        first.communicate("")


# A full disk

FILES = ("images", "checkpoint.pt", "weights.safetensors", "predictions.npz", "record.json", "study.lock")


@pytest.fixture
def filling(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes the disk full in the moment when a file of this name is flushed to it."""
    flush = os.fsync

    def fill(name: str) -> None:
        def full(descriptor: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            written = re.sub(r"^\.|\.\d+\.partial$", "", path.name)
            if path.name.endswith(".partial") and name in (written, path.parent.name):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            flush(descriptor)

        monkeypatch.setattr(os, "fsync", full)

    return fill


def _partials(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*.partial")]


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_is_one_line_and_leaves_nothing_partial_and_the_same_command_continues(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    filling: Callable[[str], None],
    name: str,
) -> None:
    small_study.write(here, candidate=CANDIDATES[:1])
    monkeypatch.setenv("BAKEOFF_CACHE", str(here / "cache"))
    assert run_study.__kwdefaults__ is not None
    every_step = 0.0 if name == "checkpoint.pt" else 60.0
    with monkeypatch.context() as patch:
        patch.setitem(run_study.__kwdefaults__, "checkpoint_seconds", every_step)
        filling(name)
        assert _run() == 2
        errors = capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setenv("BAKEOFF_CACHE", str(here / "cache"))
    assert errors.startswith("bakeoff: disk full: could not write ")
    assert f"{name}; nothing partial is left\n" in errors
    assert errors.count("\n") == 1
    assert _partials(here) == []
    folder = StudyFolder(here / "studies" / "small")
    if folder.lock_path.exists():
        assert list(folder.records()) == []
    assert _run() == 0
    assert [record.status for record in folder.records()] == ["finished"]


LARGE = """
from torch import nn


def build(classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, 1000), nn.Linear(1000, classes))
"""


@pytest.fixture
def tiny_disk(here: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    folder = here / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("seconds", "image_size", "full"),
    [
        (0.0, 8, "disk/out/runs/digits/large/seed-0/checkpoint.pt"),  # 2.4 MB
        (60.0, 8, "disk/out/runs/digits/large/seed-0/weights.safetensors"),  # 0.8 MB
        (60.0, 32, "{here}/disk/cache/images"),  # 1.6 MB
    ],
    ids=["checkpoint", "weights", "cache"],
)
def test_a_disk_that_is_really_full_is_one_line_and_nothing_partial_is_left(
    here: Path,
    tiny_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    image_size: int,
    full: str,
) -> None:
    small_study.write(
        here,
        candidate=[{"name": "large", "model": "large.py:build"}],
        task=[{**TASK, "image_size": image_size}],
    )
    (here / "large.py").write_text(LARGE)
    if "cache" in full:
        monkeypatch.setenv("BAKEOFF_CACHE", str(tiny_disk / "cache"))
    assert run_study.__kwdefaults__ is not None
    monkeypatch.setitem(run_study.__kwdefaults__, "checkpoint_seconds", seconds)
    assert _run("--out", "disk/out") == 2
    assert capsys.readouterr().err == (
        f"bakeoff: disk full: could not write {full.format(here=here)}; nothing partial is left\n"
    )
    assert _partials(tiny_disk) == []


# Engines


@pytest.mark.slow
def test_two_workers_are_told_in_one_log(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bakeoff.study.engines.settings.usable_cores", lambda: 2)
    assert _run("--workers", 2) == 0
    told = capsys.readouterr().out
    for name in ("plain", "dropout"):
        assert f"digits / {name} / seed 0: starts (fp32; asked for by the recipe)" in told
        assert f"digits / {name} / seed 0: epoch 2, loss " in told
        assert f"digits / {name} / seed 0: finished, test accuracy " in told
    assert told.index("dropout / seed 0: starts") < told.index("plain / seed 0: finished")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers", 0], "--workers: got 0, expected a whole number of at least 1"),
        (
            ["--address", "head:6379"],
            "--address: got 'head:6379', but runs are computed here; it needs --engine ray",
        ),
        (
            ["--store", "s3://bucket"],
            "--store: got 's3://bucket', but runs are computed here; it needs --engine ray",
        ),
    ],
)
def test_engines_that_cannot_be_are_refused(refused: Refused, flags: list[object], message: str) -> None:
    assert refused("run", "small.toml", "--threads", 1, *flags) == message
