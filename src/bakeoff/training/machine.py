"""Device, threads and precision: resolved once when a study starts, then kept by its lock."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch

from bakeoff.cores import usable_cores
from bakeoff.errors import ConfigError, ResourceError
from bakeoff.training.allocator import keep_pages

Asked = Literal["auto", "fp32", "bf16"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a study computes, in plain values that its lock stores."""

    device: str  # "cpu", "cuda" or "cuda:1"
    threads: int  # of PyTorch's operators on the processor, in each process
    processes: int = 1  # that share the batches of one run

    def apply(self) -> None:
        """Set this process up: threads, memory, convolutions that always sum in the same order."""
        torch.set_num_threads(self.threads)
        keep_pages()
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False  # cuDNN's default; the final evaluation promises fp32

    @property
    def torch_device(self) -> torch.device:
        """The device as PyTorch names it."""
        return torch.device(self.device)


@contextmanager
def as_it_was() -> Iterator[None]:
    """Give the process back with the threads and the switches of cuDNN that it had.

    What the C library was told about freed memory stays: it changes no number, and cannot be asked for.
    """
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    switches = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = switches


def resolve_machine(device: str = "auto", threads: int | None = None, processes: int = 1) -> Machine:
    """Decide where to compute.

    Args:
        device: ``"auto"`` (a CUDA device if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        threads: On the processor; None takes every core this process may use.
        processes: That share the batches of each run.

    Returns:
        The same on every call on the same machine.

    Raises:
        ConfigError: The device is no such name, or the threads are below 1.
        ResourceError: The device is not there.
    """
    kind, _, number = device.partition(":")
    if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", device):
        raise ConfigError(f"--device: got '{device}', expected auto, cpu, cuda or cuda:N")
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads: got {threads}, expected a whole number of at least 1")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= available:
        raise ResourceError(
            f"--device: got '{device}', but PyTorch sees {available} CUDA devices here; expected cpu or auto"
        )
    if kind == "auto":
        device = "cuda" if available else "cpu"
    return Machine(device, threads or usable_cores(), processes)


def resolve_precision(asked: Asked, device: torch.device) -> tuple[Precision, str]:
    """Decide the precision of training, and say why.

    bf16 means mixed precision: weights, optimizer and loss stay in fp32. It is chosen
    only where the hardware multiplies it natively; emulated, it was ten times slower
    (docs/findings.md, 2026-11-23).

    Args:
        asked: What the recipe says.
        device: Where the training will run.

    Returns:
        ``"fp32"`` or ``"bf16"``, and the reason in words.
    """
    if asked != "auto":
        return asked, "asked for by the recipe"
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return "bf16", f"auto: {torch.cuda.get_device_name(device)} multiplies bf16 natively"
        return "fp32", f"auto: {torch.cuda.get_device_name(device)} has no bf16"
    flags = _processor_field("flags").split()
    for flag in ("amx_bf16", "avx512_bf16"):
        if flag in flags:
            return "bf16", f"auto: the processor has {flag}"
    return "fp32", "auto: the processor has neither avx512_bf16 nor amx_bf16"


def _processor_field(name: str) -> str:
    """Read the first value of a field of Linux's description of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    except OSError:
        pass
    return ""


def describe_environment(machine: Machine) -> dict[str, Any]:
    """Describe the machine and the versions that a run depends on, as plain values."""
    device = machine.torch_device
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "bakeoff": metadata.version("bakeoff"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
        "pillow": metadata.version("pillow"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor_field("model name") or platform.processor() or "unknown",
        "cores": usable_cores(),
        "memory_bytes": memory,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": machine.threads,
        **({"processes": machine.processes} if machine.processes > 1 else {}),
    }
