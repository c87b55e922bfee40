"""`bakeoff run STUDY`: run or resume a study, then write its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bakeoff.cli.arguments import Decoders, Device, Download, OnCorrupt, Threads, data_places
from bakeoff.errors import ConfigError

PICK = "pick"  # the study for any images, which is laid out by their number and size


def run(
    study: Annotated[
        str,
        typer.Argument(
            help="A TOML file, a folder with a study.toml, or one of demo, classic, sprint-cifar10, "
            "sprint, hour-pretrained and pick."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The study's folder.  [studies/<name>, or where it was begun]")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Where a source lies: NAME=PATH, or PATH if there is one source.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be repeated.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this candidate; may be repeated.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Only the first N seeds; with pick, runs of each candidate.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Only this seed.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time for the whole study; only for pick.  [30m]")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    workers: Annotated[
        int | None, typer.Option(help="Runs at once, which share the cores.  [1; on a cluster all that fit]")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes that share the batches of each run.  [1]")
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Where runs are computed: here, or on a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Head of a Ray cluster to join: HOST:PORT or auto.  [start one here]")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="URL for what runs on a cluster leave, such as s3://bucket/study.")
    ] = None,
    decoders: Decoders = None,
    on_corrupt: OnCorrupt = "stop",
    download: Download = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan with its cost in time, memory and disk, and stop."),
    ] = False,
) -> int:
    """Run or resume a study, and write its report.

    A second run of the same command trains only what is missing; Ctrl-C keeps everything.
    """
    from bakeoff.cli.carry_out import estimate_only, pick_live, pick_only, run_live

    if study == PICK:
        if task or only or seed is not None:
            raise ConfigError(f"{PICK}: got --task, --only or --seed, expected --data, --budget, --seeds")
        if workers is not None or engine != "local":
            raise ConfigError(
                f"{PICK}: gives each run its share of the time here, one after the other; "
                "expected no --workers and no --engine"
            )
        wish = {"budget": "30m" if budget is None else budget, "seeds": seeds or 1, "out": out,
                "device": device, "threads": threads, "download": download}  # fmt: skip
        more = {"decoders": decoders, "on_corrupt": on_corrupt}
        place = _one_place(data or [])
        return pick_only(place, wish, more) if dry_run else pick_live(place, {**wish, **more})
    if budget is not None:
        raise ConfigError(f"--budget: belongs to the study {PICK}; in '{study}' the recipe says how long")
    arguments = {
        "out": out, "data": data_places(data or []), "tasks": task or (), "only": only or (), "seeds": seeds,
        "seed": seed, "device": device, "threads": threads, "decoders": decoders,
        "on_corrupt": on_corrupt, "download": download, "workers": workers,
        "processes": processes, "engine": engine, "address": address, "store": store,
    }  # fmt: skip
    return estimate_only(study, arguments) if dry_run else run_live(study, arguments)


def _one_place(values: list[str]) -> str:
    """Read ``--data`` of the study for any images."""
    found = data_places(values)
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    if not isinstance(found, str):
        raise ConfigError(f"--data: {PICK} needs one folder, archive, CSV file or source's name")
    return found
