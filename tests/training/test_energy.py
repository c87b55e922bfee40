from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bakeoff.training.energy import EnergyMeter


def counters(root: Path, **microjoules: int) -> Path:
    """Lay out Linux's counters: two processors, a part of one, and the board that holds both."""
    names = {"0": "package-0", "1": "package-1", "0:0": "core", "2": "psys"}
    for number, name in names.items():
        folder = root / f"intel-rapl:{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{microjoules.get('p' + number.replace(':', '_'), 5_000_000)}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    return root


def test_the_gain_of_every_processor_is_added_and_parts_are_not_counted_twice(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=counters(tmp_path))
    counters(tmp_path, p0=12_000_000, p1=6_500_000, p0_0=11_000_000, p2=99_000_000)
    meter.sample()
    assert meter.joules == 7.0 + 1.5


def test_a_counter_that_starts_again_is_followed(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=counters(tmp_path, p0=262_143_000_000))
    counters(tmp_path, p0=1_000_000)
    meter.sample()
    assert round(meter.joules or 0, 6) == round(262143.328850 - 262143.0 + 1.0, 6)


def test_what_cannot_be_read_is_no_number(tmp_path: Path) -> None:
    assert EnergyMeter(powercap=tmp_path / "none").joules is None
    root = counters(tmp_path)
    for folder in root.iterdir():
        (folder / "energy_uj").unlink()  # as for somebody without permission
    meter = EnergyMeter(powercap=root)
    meter.sample()
    assert meter.joules is None


def test_a_processor_needs_no_gpu_to_be_read(tmp_path: Path) -> None:
    meter = EnergyMeter("cuda:0", powercap=counters(tmp_path))
    meter.sample()
    assert meter.joules == 0.0


def test_a_counter_that_cannot_be_read_to_the_end_gives_no_number(tmp_path: Path) -> None:
    meter = EnergyMeter(powercap=counters(tmp_path))
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    counters_left = tmp_path / "intel-rapl:0" / "energy_uj"
    counters_left.write_text("9000000\n")
    meter.sample()
    assert meter.joules is None
    counters(tmp_path, p0=10_000_000, p1=90_000_000)
    meter.sample()
    assert meter.joules is None  # what it gained meanwhile is not known


def test_the_gpu_that_is_read_is_the_one_that_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With CUDA_VISIBLE_DEVICES=1 the second GPU is CUDA's first; NVML counts on."""
    millijoules = {"GPU-aa": 1_000, "GPU-bb": 5_000}
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda index: list(millijoules)[index],
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid, nvmlDeviceGetTotalEnergyConsumption=millijoules.get,
    ))  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="bb"))
    meter = EnergyMeter("cuda:0", powercap=tmp_path / "none")
    millijoules["GPU-bb"] = 9_000
    meter.sample()
    assert meter.joules == 4.0
