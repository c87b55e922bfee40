"""The energy that a training takes, where the machine tells: Linux counts joules of processors, NVML of GPUs.

What is counted is of whole processors and GPUs, whoever else used them meanwhile. Counters of processors run
over after some tens of minutes, so they are read again and again. Where nothing can be read (no such
counters, no permission), there is no number, and nothing is guessed.

Source: Linux, Documentation/power/powercap/powercap.rst; RAPL counts ``energy_uj`` in microjoules up to
``max_energy_range_uj``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Adds up what the counters gain between two readings."""

    def __init__(self, device: str = "cpu", powercap: Path = POWERCAP) -> None:
        self._packages = _packages(powercap)
        self._gpu = _gpu(device)
        self._before = self._read()
        self._joules = 0.0
        self._lost = False  # whether a counter could not be read any more: the sum would be too small

    def sample(self) -> None:
        """Read the counters; often enough that none runs over twice between two readings."""
        now = self._read()
        self._lost = self._lost or not now.keys() >= self._before.keys()
        for path, joules in now.items():
            gained = joules - self._before.get(path, joules)
            self._joules += gained if gained >= 0 else gained + _range(path)
        self._before = now

    @property
    def joules(self) -> float | None:
        """What was counted up to the last sample; None where nothing can be read, or not to the end."""
        return self._joules if self._before and not self._lost else None

    def _read(self) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for package in self._packages:
            with suppress(OSError, ValueError):  # readable by the administrator alone, on most machines
                found[str(package)] = int((package / "energy_uj").read_text()) / 1e6
        if self._gpu is not None:
            with suppress(Exception):  # of NVML, which has its own
                found["gpu"] = self._gpu()
        return found


def _packages(powercap: Path) -> list[Path]:
    """List the counters of whole processors; their parts and the whole board would count them twice."""
    found = []
    for path in sorted(powercap.glob("intel-rapl:*")):
        with suppress(OSError):
            if (path / "name").read_text().startswith("package"):
                found.append(path)
    return found


def _range(path: str) -> float:
    """Return the joules after which a counter starts again; 0 of one that never does."""
    with suppress(OSError, ValueError):
        return int((Path(path) / "max_energy_range_uj").read_text()) / 1e6
    return 0.0


def _gpu(device: str) -> Callable[[], float] | None:
    """Return what reads the joules of a GPU; None without one, or without NVML."""
    if not device.startswith("cuda"):
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        # By its name: CUDA numbers the GPUs that it may see, NVML all of them.
        uuid = torch.cuda.get_device_properties(torch.device(device)).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # not installed, no driver, or a GPU that does not count
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
