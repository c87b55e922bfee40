"""`bakeoff train MODEL DATA`: one model on one dataset, as a study of one candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bakeoff.cli.arguments import Decoders, Device, Download, Images, OnCorrupt, Threads, value_of
from bakeoff.errors import ConfigError

_OWN = "candidate."  # in front of a key of the candidate


def train(
    model: Annotated[str, typer.Argument(help="One of ours, your own 'my_net.py:build', or 'timm:NAME'.")],
    data: Images,
    probe: Annotated[
        bool, typer.Option("--probe", help="Only the last layer, by logistic regression on frozen features.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The study's folder.  [studies/<name>]")] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Only the first N classes, in sorted order.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels that images are stored in.  [from their own size]")
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="Pixels that the network takes.  [from the images, and its speed]")
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="What of a pretrained network moves: all, head, or blocks by name.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="Dense layers by width, dropouts by rate, before the last: 1024,0.5.")
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(help="Augmented copies of each image that a frozen part computes, once."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A file with the weights of 'timm:NAME'.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Length.  [from the number of images]")] = None,
    time: Annotated[str | None, typer.Option(help="Length by the clock, such as 10m.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A key of the recipe, augmentation.cutmix=1.0, or candidate.source_lr=0.1.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many runs.")] = 1,
    device: Device = "auto",
    threads: Threads = None,
    decoders: Decoders = None,
    on_corrupt: OnCorrupt = "stop",
    download: Download = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, with its cost, and stop.")
    ] = False,
) -> int:
    """Train one model on one dataset, and write its report.

    A second run of the same command goes on where the first was stopped. The study's file is left in
    its folder: add candidates to it, and it becomes a comparison.
    """
    from bakeoff.cli.carry_out import train_live, train_only

    candidate: dict[str, Any] = {
        "train": _train(train), "head": _head(head), "views": views,
        "weights": str(weights.absolute()) if weights is not None else None,
    }  # fmt: skip
    settings = [text.strip() for text in set_ or []]
    of_recipe = [text for text in settings if not text.startswith(_OWN)]
    _put(candidate, [text.removeprefix(_OWN) for text in settings if text.startswith(_OWN)])
    recipe = {"epochs": epochs, "time": time, "batch_size": batch_size}
    arguments: dict[str, Any] = {
        "probe": probe, "classes": classes, "seeds": seeds, "image_size": image_size,
        "input_size": input_size, "candidate": {k: v for k, v in candidate.items() if v is not None},
        "recipe": _recipe({k: v for k, v in recipe.items() if v is not None}, lr, of_recipe),
        "out": out, "device": device, "threads": threads, "download": download,
    }  # fmt: skip
    if dry_run:
        return train_only(model, data, arguments, {"on_corrupt": on_corrupt, "decoders": decoders})
    return train_live(model, data, {**arguments, "on_corrupt": on_corrupt, "decoders": decoders})


def _train(text: str | None) -> str | list[str] | None:
    return text if text in (None, "all", "head") else [name.strip() for name in text.split(",")]


def _head(text: str | None) -> list[int | float] | None:
    """Read ``1024,0.5``: whole numbers are widths, fractions rates of dropout."""
    if text is None:
        return None
    found: list[int | float] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(int(entry) if entry.isdigit() else float(entry))
        except ValueError:
            raise ConfigError(f"--head: got '{entry}', expected widths and rates such as 1024,0.5") from None
    return found


def _recipe(given: dict[str, Any], lr: float | None, settings: list[str]) -> dict[str, Any]:
    """Put the keys of a recipe together."""
    if lr is not None:
        given["optimizer"] = {"lr": lr}
    _put(given, [setting.removeprefix("recipe.") for setting in settings])
    return given


def _put(given: dict[str, Any], settings: list[str]) -> None:
    """Add what ``--set`` says: dotted names, and values as TOML writes them."""
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (equals and name.strip()):
            raise ConfigError(f"--set: got '{setting}', expected KEY=VALUE such as label_smoothing=0.1")
        *tables, key = name.strip().split(".")
        place = given
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set: got '{setting}', but {table} is no table of keys")
        place[key] = value_of(text.strip())
