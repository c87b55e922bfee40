"""The README's way from a folder of images to a running page: exactly its four commands, in their order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import CLASSES, picture, save
from running import Running

ROOT = Path(__file__).parents[2]


def commands() -> list[list[str]]:
    """Read the block of commands that ends in a running page."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (walk,) = (block for block in blocks if "bakeoff serve first.onnx" in block)
    return [shlex.split(line, comments=True) for line in walk.splitlines()]


def test_the_way_has_four_commands_each_of_which_takes_what_an_earlier_one_leaves() -> None:
    train, predict, export, serve = commands()
    assert [words[:2] for words in commands()] == [
        ["bakeoff", verb] for verb in ("train", "predict", "export", "serve")
    ]
    folder, file = train[train.index("--out") + 1], export[export.index("--out") + 1]
    assert predict[2] == export[2] == folder
    assert serve[2:] == [file]


@pytest.mark.slow
def test_the_four_commands_of_the_readme_lead_from_a_folder_of_images_to_a_running_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    train, predict, export, serve = commands()
    for label, name in enumerate(CLASSES):
        for number in range(12):
            save(Path(train[3]) / name / f"{number}.png", picture(label, number, 40, 32))
        save(Path(predict[3]) / f"new {name}.png", picture(label, 99, 32, 40))

    def run(words: list[str]) -> str:
        done = subprocess.run([sys.executable, "-m", *words], check=False, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(train)
    lines = run(predict).splitlines()
    assert [re.split(r" {2,}", line)[-1] for line in lines] == [
        f"{predict[3]}/new {name}.png" for name in CLASSES
    ]
    said = run(export)
    assert "Agrees with the recorded predictions of the test images: " in said
    with Running(*serve[2:]) as server:
        assert "<html" in server.get("/").body.decode()
        answer = server.post("/predict", Path(predict[3], "new ant.png").read_bytes())
        assert server.stop() == 0
    served = {one["name"]: 100 * one["probability"] for one in answer.json["images"][0]["classes"]}
    shown = re.findall(r"([\d.]+) % (\w+)", lines[0])
    assert served == {name: pytest.approx(float(percent), abs=0.06) for percent, name in shown}
