"""`bakeoff serve MODEL`: an exported classifier behind a web page and an HTTP interface."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.errors import ConfigError, to_install
from bakeoff.homes import cache_home

if TYPE_CHECKING:
    from bakeoff.deploy.serving.service import Service

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    models: Annotated[
        list[str],
        typer.Argument(help="Files of 'bakeoff export', or folders of runs; several side by side."),
    ],
    host: Annotated[str, typer.Option(help="The address that is listened on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    token: Annotated[
        str | None, typer.Option(help="Ask requests for this bearer token.  [BAKEOFF_TOKEN]")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that compute.  [all cores]")] = None,
    max_bytes: Annotated[str, typer.Option(help="Largest request, such as 20MiB.")] = "20MiB",
    max_pixels: Annotated[int, typer.Option(help="Largest image, in pixels.")] = 50_000_000,
    max_files: Annotated[int, typer.Option(help="Most images in one request.")] = 64,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a whole request.")] = 30.0,
    max_queue: Annotated[
        int, typer.Option(help="Most images waiting at once; beyond that, requests get 429.")
    ] = 256,
) -> int:
    """Serve classifiers: a page to drop an image on, and POST /predict for programs.

    Only this machine can reach it, unless --host says otherwise. Ctrl-C stops it.
    """
    try:
        from bakeoff.deploy.serving.limits import Limits
        from bakeoff.deploy.serving.server import serve as serve_models
    except ModuleNotFoundError as error:
        raise ConfigError(f"serve: needs {error.name}; {to_install('serve')}") from None

    limits = Limits(
        max_bytes=_bytes(max_bytes), max_pixels=max_pixels, max_files=max_files, timeout=timeout,
        max_queue=max_queue,
    )  # fmt: skip
    token = token if token is not None else os.environ.get("BAKEOFF_TOKEN")

    def ready(url: str, service: Service) -> None:
        print(f"Serving {', '.join(service.models)} on {url} (Ctrl-C stops)", flush=True)
        if host not in _LOOPBACK and token is None:
            print("Whoever reaches this machine can use it; --token asks for a token.", flush=True)

    return serve_models(
        [_onnx_file(model) for model in models],
        host=host, port=port, token=token, limits=limits, threads=threads, ready=ready,
    )  # fmt: skip


def _onnx_file(model: str) -> Path:
    """Return the file that is to be served; of a run's or a study's folder, export it first."""
    from bakeoff.records import StudyFolder
    from bakeoff.use import find_runs

    path = Path(model)
    if not path.is_dir():
        return path
    if StudyFolder(path).read_lock() is not None:
        path = find_runs(path).runs[0].path
    target = _place(path)
    if not target.exists():
        print(f"Exporting {model} to {target}", flush=True)
        # In a process of its own: torch must not come into this one.
        done = subprocess.run(_export_command(path, target), check=False)
        if done.returncode != 0 or not target.exists():
            raise ConfigError(f"{model}: could not be exported, expected a run that 'bakeoff export' takes")
    return target


def _export_command(folder: Path, target: Path) -> list[str]:
    """Say how a folder is exported."""
    return [sys.executable, "-m", "bakeoff", "export", str(folder), "--to", "onnx", "--out", str(target),
            "--no-card"]  # fmt: skip


def _place(folder: Path) -> Path:
    """Name the file in the cache that an exported folder becomes; another one once a record is new."""
    records = sorted(folder.rglob("record.json"))
    seen = [str(folder.resolve()), *(f"{record} {record.stat().st_mtime_ns}" for record in records)]
    digest = hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]
    return cache_home() / "served" / f"{folder.resolve().name}-{digest}.onnx"


def _bytes(text: str) -> int:
    """Read a size such as 20MiB, 500KB or 1000000."""
    units = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
    number = text.strip().lower().rstrip("bgikm ")
    unit = text.strip().lower()[len(number) :].strip()
    try:
        return int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        raise ConfigError(f"--max-bytes: got '{text}', expected a size such as 20MiB or 500KB") from None
