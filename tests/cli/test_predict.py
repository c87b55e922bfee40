"""`bakeoff predict`: folders are walked, what cannot be read is listed, programs can read what comes out."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import pytest
import small_study
from PIL import Image
from typer.testing import CliRunner

import bakeoff
from bakeoff.cli.main import app
from bakeoff.errors import ConfigError, DataError

PROGRAM = """
import sys
from bakeoff.cli.main import app
try:
    code = app(["predict", *sys.argv[1:]], standalone_mode=False)
finally:
    print("IMPORTED", sorted({"torch", "torchvision", "timm", "sklearn", "scipy"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory, class_folders):
    values = small_study.study(
        seeds=[0, 1],
        recipe={"epochs": 4, "optimizer": {"name": "adam", "lr": 0.01}},
        task=[{"name": "colours", "data": str(class_folders), "image_size": 16}],
        candidate=[{"name": "plain", "model": "net.py:plain"}],
    )
    return small_study.train(tmp_path_factory.mktemp("predict"), values).folder


@pytest.fixture(scope="module")
def model(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "colours.onnx"
    return bakeoff.export(study.path, out=out, base_dir=study.path.parent, card=False).path


@pytest.fixture
def images(class_folders, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(class_folders, folder)
    return folder


def predict(*arguments, **more):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)], standalone_mode=False, **more)


def test_a_table_names_the_likeliest_classes_of_every_image_below_a_folder(model, images):
    result = predict(model, images, "--top", 2)
    assert result.return_value == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 36
    best = bakeoff.load(model).top(images / "ant" / "0.png", 2)[0]
    assert lines[0].split() == [
        f"{100 * best[0][1]:.1f}", "%", best[0][0], f"{100 * best[1][1]:.1f}", "%", best[1][0],
        str(images / "ant" / "0.png"),
    ]  # fmt: skip


def test_json_is_a_line_for_each_image_and_csv_a_row(model, images):
    as_json = predict(model, images / "bee", "--format", "json").stdout.splitlines()
    rows = list(csv.DictReader(io.StringIO(predict(model, images / "bee", "--format", "csv").stdout)))
    assert len(as_json) == len(rows) == 12
    for line, row in zip(map(json.loads, as_json), rows, strict=True):
        assert line["file"] == row["file"]
        assert [one["class"] for one in line["classes"]] == [row[f"class{rank}"] for rank in (1, 2, 3)]
        assert sum(one["probability"] for one in line["classes"]) == pytest.approx(1, abs=1e-4)
        assert float(row["probability1"]) == line["classes"][0]["probability"]


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on_with_exit_code_1(model, images):
    (images / "bee" / "0.png").write_bytes(b"no image")
    (images / "cat" / "1.png").write_bytes((images / "cat" / "1.png").read_bytes()[:60])
    result = predict(model, images, "--format", "csv")
    assert result.return_value == 1
    assert len(result.stdout.splitlines()) == 1 + 34
    errors = result.stderr.splitlines()
    assert errors[0] == f"bakeoff: {images / 'bee' / '0.png'}: not an image"
    assert errors[1].startswith(f"bakeoff: {images / 'cat' / '1.png'}: unreadable")
    assert errors[-1] == "bakeoff: 2 of 36 images could not be read"


def test_paths_come_from_standard_input_where_a_dash_stands(model, images):
    given = f"{images / 'ant' / '1.png'}\n\n{images / 'gone.png'}\n{images / 'bee'}\n"
    result = predict(model, "-", "--format", "json", input=given)
    files = [json.loads(line)["file"] for line in result.stdout.splitlines()]
    assert files[0].endswith("ant/1.png")
    assert len(files) == 13
    assert result.return_value == 1
    assert "gone.png: unreadable (No such file" in result.stderr


def test_a_run_a_study_and_its_export_say_the_same(study, model, images, monkeypatch):
    monkeypatch.chdir(study.path.parent)
    best = bakeoff.open_study(study.path).best()
    outputs = []
    for place in (study.run(best.task, best.candidate, best.seed).path, study.path, model):
        result = predict(place, images, "--format", "json", "--device", "cpu", "--threads", 1)
        assert result.return_value == 0, result.output
        outputs.append([json.loads(line) for line in result.stdout.splitlines()])
    assert outputs[0] == outputs[1]
    for ours, theirs in zip(outputs[0], outputs[2], strict=True):
        assert ours["file"] == theirs["file"]
        assert [one["class"] for one in ours["classes"]] == [one["class"] for one in theirs["classes"]]
        assert [one["probability"] for one in ours["classes"]] == pytest.approx(
            [one["probability"] for one in theirs["classes"]], abs=1e-5
        )


def test_an_ensemble_is_between_its_seeds(study, images, monkeypatch):
    monkeypatch.chdir(study.path.parent)

    def ant(*flags):
        line = predict(study.path, images / "ant" / "0.png", "--format", "json", *flags).stdout
        return {one["class"]: one["probability"] for one in json.loads(line)["classes"]}["ant"]

    both = ant("--ensemble")
    single = [ant("--seed", 0), ant("--seed", 1)]
    assert single[0] != single[1]
    assert both == pytest.approx(sum(single) / 2, abs=1e-5)


def test_which_run_of_a_study_answers_is_told_where_not_all_was_named(study, images, model, monkeypatch):
    monkeypatch.chdir(study.path.parent)
    best, one = bakeoff.open_study(study.path).best(), images / "ant" / "0.png"
    seeds = "the best seed by validation accuracy; --seed names another"
    why = f"(the only candidate that has finished; --candidate names another; {seeds})"
    said = f"bakeoff: plain, seed {best.seed}, of task colours"
    assert predict(study.path, one).stderr.splitlines() == [f"{said} {why}"]
    by_name = predict(study.path, one, "--candidate", "plain").stderr.splitlines()
    assert by_name == [f"{said} ({seeds})"]
    average = predict(study.path, one, "--candidate", "plain", "--ensemble").stderr.splitlines()
    assert average == ["bakeoff: plain, seeds 0, 1, of task colours"]
    assert predict(study.path, one, "--candidate", "plain", "--seed", 1).stderr == ""
    run = study.run(best.task, best.candidate, best.seed).path
    assert predict(run, one).stderr == predict(model, one).stderr == ""


def test_a_file_is_written_whole_and_standard_output_stays_empty(model, images, tmp_path):
    result = predict(model, images, "--format", "csv", "--out", tmp_path / "x.csv")
    assert result.stdout == ""
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 37


def test_a_folder_without_images_and_a_place_that_is_not_there_are_refused(model, tmp_path):
    (tmp_path / "empty").mkdir()
    assert isinstance(predict(model, tmp_path / "empty").exception, DataError)
    gone = predict(model, tmp_path / "gone").exception
    assert isinstance(gone, ConfigError)
    assert str(gone) == f"images: no file or folder {tmp_path / 'gone'}"


def test_nothing_is_written_where_there_was_nothing_to_read(model, tmp_path):
    (tmp_path / "empty").mkdir()
    found = predict(model, tmp_path / "empty", "--format", "csv", "--out", tmp_path / "x.csv").exception
    assert isinstance(found, DataError)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
@pytest.mark.parametrize("whence", ["folder", "standard input"])
def test_names_that_are_no_text_are_escaped_as_json_would(model, images, tmp_path, format_, whence):
    odd = os.fsencode(images / "ant") + b"/caf\xe9.png"
    shutil.copy(images / "ant" / "0.png", odd)
    command = [sys.executable, "-m", "bakeoff", "predict", str(model), "--format", format_, "--top", "1"]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in any ordinary locale
    done = subprocess.run(
        [*command, str(images / "ant") if whence == "folder" else "-"],
        input=None if whence == "folder" else odd + b"\n", capture_output=True, env=strict, check=True,
    )  # fmt: skip
    (line,) = [line for line in done.stdout.decode("utf-8").splitlines() if "caf" in line]
    assert "/caf\\udce9.png" in line
    if format_ == "json":
        assert os.fsencode(json.loads(line)["file"]) == odd
    written = predict(model, images / "ant", "--format", format_, "--out", tmp_path / "x")
    assert written.return_value == 0, written.exception
    assert "/caf\\udce9.png" in (tmp_path / "x").read_text("utf-8")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".bmp"])
def test_an_image_on_standard_input_is_told_from_paths(model, images, suffix):
    with Image.open(images / "ant" / "0.png") as image:
        image.save(images / f"x{suffix}")
    result = predict(model, "-", input=(images / f"x{suffix}").read_bytes())
    assert isinstance(result.exception, ConfigError)
    assert "got a file's bytes on standard input, expected paths, one a line" in str(result.exception)
    assert result.stdout == ""


def test_an_exported_file_refuses_a_device_that_it_cannot_compute_on(model, images):
    found = predict(model, images, "--device", "cuda").exception
    assert isinstance(found, ConfigError)
    assert str(found) == "--device: got 'cuda', expected cpu: exported files compute on the processor"


def test_the_home_of_an_unknown_user_is_one_line(images):
    for arguments in (("~nobody-of-this-name/x.onnx", images), ("x.onnx", "~nobody-of-this-name/photos")):
        assert isinstance(predict(*arguments).exception, ConfigError)


def test_an_exported_file_needs_no_torch(model, images):
    command = [sys.executable, "-c", PROGRAM, str(model), str(images / "ant"), "--format", "csv"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    lines = done.stdout.splitlines()
    assert len(lines) == 14
    assert lines[-1] == "IMPORTED []"
