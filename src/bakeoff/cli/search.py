"""`bakeoff search DATA --budget 10m`: find a network and its training, within a budget that pays for all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bakeoff.cli.arguments import Decoders, Device, Download, Images, OnCorrupt, Threads, value_of
from bakeoff.errors import ConfigError


def search(
    data: Images,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Pays for everything, the final training included: 10m, or 400ep.  [10m without --trials]"
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="At most this many trials.")] = None,
    method: Annotated[
        Literal["tpe", "random"], typer.Option(help="How trials are chosen; random is for comparison.")
    ] = "tpe",
    space: Annotated[
        list[str] | None,
        typer.Option(help="Narrow or fix a setting: width=[16,32], block=residual. Again for another."),
    ] = None,
    max_parameters: Annotated[int | None, typer.Option(help="Largest network to try, in parameters.")] = None,
    max_multiplications: Annotated[
        int | None, typer.Option(help="Most multiplications of a network, for one image.")
    ] = None,
    min_images_per_second: Annotated[
        float | None, typer.Option(help="Slowest network to try, in training images/s measured here.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder.  [studies/search-<data>]")] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Only the first N classes, in sorted order.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels of the images.  [from their own size, 64 at most]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many searches.")] = 1,
    device: Device = "auto",
    threads: Threads = None,
    decoders: Decoders = None,
    on_corrupt: OnCorrupt = "stop",
    download: Download = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, with its cost, and stop.")
    ] = False,
) -> int:
    """Find a network and the settings of its training for these images, and train it.

    Trials, the final training and its evaluation are all paid for by the budget. A second run of the same
    command goes on where the first was stopped.
    """
    from bakeoff.cli.carry_out import search_live, search_only

    filters = {
        "max_parameters": max_parameters, "max_multiplications": max_multiplications,
        "min_images_per_second": min_images_per_second,
    }  # fmt: skip
    arguments: dict[str, Any] = {
        "budget": budget, "trials": trials, "method": method, "space": _space(space or []),
        "search": {key: value for key, value in filters.items() if value is not None},
        "classes": classes, "image_size": image_size, "seeds": seeds, "out": out, "device": device,
        "threads": threads, "download": download,
    }  # fmt: skip
    options = {"on_corrupt": on_corrupt, "decoders": decoders}
    if dry_run:
        return search_only(data, arguments, options)
    return search_live(data, {**arguments, **options})


def _space(settings: list[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE``, a value as TOML writes it or a bare word."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (equals and name.strip() and text.strip()):
            raise ConfigError(f"--space: got '{setting}', expected KEY=VALUE such as width=[16,32]")
        found[name.strip()] = value_of(text.strip())
    return found
