"""`bakeoff bench`: its tables, its file, and what it refuses."""

import json

import pytest
import typer
from typer.testing import CliRunner

from bakeoff.cli.bench import bench
from bakeoff.errors import ConfigError
from bakeoff.training import bench as module
from bakeoff.training.bench import Bench, Ceiling, TrainingRate

FOUND = Bench(
    environment={
        "processor": "a [fast] one", "cores": 2, "memory_bytes": 25_300_000_000, "system": "Linux x86_64",
        "device": "cpu", "bakeoff": "9.9", "python": "3.11", "torch": "2", "numpy": "2", "pillow": "1",
    },
    ceilings=(
        Ceiling("matrix product", "bf16", 347.4, "GFLOP/s"),
        Ceiling("matrix product", "fp32", 139.2, "GFLOP/s"),
        Ceiling("memory", "", 18.94, "GB/s"), Ceiling("decoding", "", 6587.4, "images/s"),
    ),
    rates=(TrainingRate("model4", 64, 32, "bf16", 92.14, 123.6, 0.356),),
    precision="bf16", reason="auto: [bf16] is there", decoders=2,
)  # fmt: skip
app = typer.Typer()
app.command()(bench)


def _run(monkeypatch, *arguments):
    monkeypatch.setattr(module, "bench", lambda machine, **asked: FOUND)
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "120"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def _cells(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_the_tables_hold_every_figure(monkeypatch):
    text = _run(monkeypatch)
    assert _cells(text, "one operation")[-2:] == ["bf16", "fp32"]
    assert _cells(text, "matrix")[-2:] == ["347", "139"]
    assert _cells(text, "memory  ")[-2:] == ["18.9", "GB/s"]
    assert _cells(text, "decoding")[-2:] == ["6,587", "images/s"]
    assert _cells(text, "model4") == ["model4", "64", "32", "bf16", "92.1", "124", "36%"]
    assert "a [fast] one, 2 cores, 25.3 GB of memory, Linux x86_64" in text
    assert "auto chooses here: bf16 (auto: [bf16] is there); device cpu" in text


def test_the_file_holds_them_as_plain_values(monkeypatch, tmp_path):
    text = _run(monkeypatch, "--json", tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text()) == json.loads(json.dumps(FOUND.as_dict()))
    assert f"written to {tmp_path / 'bench.json'}" in text.replace("\n", "")


def test_a_device_that_is_no_device_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="--device: got 'tpu'"):
        _run(monkeypatch, "--device", "tpu")
