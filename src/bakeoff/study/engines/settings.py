"""Which engine a user asks for, and the engine that this is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from bakeoff.cores import usable_cores
from bakeoff.errors import ConfigError
from bakeoff.study.engines.engine import Engine
from bakeoff.study.engines.here import Here
from bakeoff.study.engines.local import Local
from bakeoff.training.machine import Machine

Name = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Where runs are computed and how many at once, as the user gave it."""

    name: Name = "local"
    workers: int | None = None  # runs at once; None is 1, and on a cluster as many as fit
    processes: int | None = None  # of each run; None is 1, or what the study's lock says
    # Of a cluster
    address: str | None = None  # of its head, HOST:PORT or auto; None starts one on this machine
    store: str | None = None  # URL that receives what runs leave until they end; None is the study's folder

    def __post_init__(self) -> None:
        if self.name not in get_args(Name):
            raise ConfigError(f"--engine: got '{self.name}', expected {' or '.join(get_args(Name))}")
        for flag, number in (("--workers", self.workers), ("--processes", self.processes)):
            if number is not None and number < 1:
                raise ConfigError(f"{flag}: got {number}, expected a whole number of at least 1")

        for flag, value in (("--address", self.address), ("--store", self.store)):
            if value is not None and self.name != "ray":
                raise ConfigError(f"{flag}: got '{value}', but runs are computed here; it needs --engine ray")

    @property
    def at_once(self) -> int:
        """Runs that share this machine's processor; none do on a cluster of other machines."""
        return 1 if self.is_elsewhere else self.workers or 1

    @property
    def is_elsewhere(self) -> bool:
        """Whether runs are computed on a cluster that is joined, whose machines may be larger or smaller."""
        return self.name == "ray" and self.address is not None


def share_of_cores(settings: EngineSettings, processes: int) -> int | None:
    """Divide this machine's cores among the processes of all runs that are computed at once.

    A cluster that is joined computes elsewhere: one run takes as much of a node as it would of this machine.

    Args:
        settings: What the user asked for.
        processes: Of each run.

    Returns:
        Threads for each process; None leaves every core to the only one.

    Raises:
        ConfigError: There are more of them than cores.
    """
    shares, cores = settings.at_once * processes, usable_cores()
    if shares == 1:
        return None
    if shares > cores and not settings.is_elsewhere:
        _refuse(settings, processes, 1, f"this machine has {cores} {_plural('core', cores)}")
    return max(1, cores // shares)


def check_engine(settings: EngineSettings) -> None:
    """Refuse early what is not there, before any image is read.

    Args:
        settings: What the user asked for.

    Raises:
        ConfigError: An address or a store is none.
        ResourceError: Ray is not installed, or nobody answers at the address.
    """
    if settings.name == "ray":
        from bakeoff.study.engines.address import check_address, import_ray
        from bakeoff.study.engines.store import open_store

        import_ray()
        if settings.store is not None:
            open_store(settings.store)
        if settings.address is not None:
            check_address(settings.address)


def check_room(settings: EngineSettings, machine: Machine, where: str) -> None:
    """Refuse more runs at once than the machine's cores allow for the threads that each takes.

    Args:
        settings: What the user asked for.
        machine: With the threads that hold for every run of the study.
        where: What says so, for the message.

    Raises:
        ConfigError: Their threads would wait for each other.
    """
    if settings.name == "ray" and machine.device.startswith("cuda:"):
        raise ConfigError(
            f"--device: got '{machine.device}' with --engine ray, which gives every run a GPU itself; "
            "expected cuda"
        )
    cores = usable_cores()
    shares = settings.at_once * machine.processes
    if not settings.is_elsewhere and shares > 1 and shares * machine.threads > cores:
        each = f"{machine.threads} {_plural('thread', machine.threads)} ({where})"
        own = f"this machine has {cores} {_plural('core', cores)} and each process takes {each}"
        _refuse(settings, machine.processes, machine.threads, own)


def _refuse(settings: EngineSettings, processes: int, threads: int, why: str) -> None:
    if settings.at_once == 1:
        most = usable_cores() // threads
        raise ConfigError(f"--processes: got {processes}, but {why}; expected at most {max(1, most)}")
    most = usable_cores() // (processes * threads)
    beside = f" with {processes} processes each" if processes > 1 else ""
    expected = f"expected at most {most}" if most else "expected fewer --processes or --threads"
    raise ConfigError(f"--workers: got {settings.workers}{beside}, but {why}; {expected}")


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def make_engine(settings: EngineSettings, machine: Machine, study: Path) -> Engine:
    """Return the engine that a user asked for, not entered yet.

    Args:
        settings: What the user asked for.
        machine: As every run of the study has it.
        study: The study's folder.

    Returns:
        This process itself where it is to do one run after the other.
    """
    if settings.name == "ray":
        from bakeoff.study.engines.on_ray import OnRay

        return OnRay(
            machine, address=settings.address, store=settings.store, workers=settings.workers, study=study
        )
    if settings.name == "local" and settings.at_once > 1:
        return Local(settings.at_once, machine)
    return Here()
