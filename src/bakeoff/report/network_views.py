"""Each candidate's network: its drawing, its layer table, its size in words."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bakeoff.evidence.architecture import draw_architecture, fold_source
from bakeoff.evidence.summary import TaskSummary
from bakeoff.evidence.words import count, listing, number, percent
from bakeoff.records import RunRecord
from bakeoff.report.view import Network, Row, Table, numbers, row, words
from bakeoff.report.words import TIMES, grouped, pixels, plural
from bakeoff.units import format_seconds

_DRAWN = {"name", "kind", "output_shape", "parameters", "multiplications"}  # what a drawing reads of a layer


def networks(
    task: TaskSummary, records: Sequence[RunRecord], colors: Mapping[str, int]
) -> tuple[Network, ...]:
    """Show each candidate's network: the drawing and the layer table of its first run that has one."""
    first: dict[str, RunRecord] = {}
    for record in records:
        if record.layers:
            first.setdefault(record.candidate, record)
    return tuple(
        Network(
            candidate=record.candidate, color=colors[record.candidate], words=_network_words(record),
            drawing=_drawing(record, _layers(record, first)),
            layers=_layers_table(record, _layers(record, first)),
            penalties=_penalties_table(record),
        )
        for record in (first[row.name] for row in task.candidates if row.name in first)
    )  # fmt: skip


def _network_words(record: RunRecord) -> str:
    parts = [f"{grouped(record.parameters)} parameters"]
    if record.trainable != record.parameters:
        parts.append(f"{grouped(record.trainable)} trainable")
    if record.multiplications:
        parts.append(f"{count(record.multiplications)} multiplications an image")
    if record.input_size:
        parts.append(f"{pixels(record.input_size)} pixels")
    return ". ".join([", ".join(parts), *_origin_words(record)])


def _origin_words(record: RunRecord) -> list[str]:
    """Say what a network was built on, and what of it stayed as it was."""
    said = []
    if record.source:
        took = format_seconds(record.source.get("total_seconds", 0.0))
        said.append(f"Built on {record.source.get('candidate')}, seed by seed, which took {took} before it")
    if record.pretrained:
        known = record.pretrained
        words = filter(None, (known.get("trained_on"), f"licence {known.get('license')}"))
        said.append(f"Weights of {known.get('network')}, trained {known.get('seen')} ({', '.join(words)})")
    if not said:
        return []
    layers, norms = record.frozen.get("layers", []), record.frozen.get("norms_kept", 0)
    whose = "the source's" if record.source else "the given ones"
    if norms:
        said.append(
            f"The statistics of {plural(norms, 'batch normalization')} whose weights move are {whose} to the "
            "last bit, in training too (checked after training)"
        )
    chosen = next((row for row in record.probe if row.get("chosen")), None)
    if chosen is not None:
        first = "at first " if record.steps else ""
        took = format_seconds(record.features.get("lead", 0.0))
        said.append(
            f"The last layer is {first}logistic regression with a penalty of "
            f"{chosen['penalty']:g}, the best of {plural(len(record.probe), 'penalty', 'penalties')} on "
            "validation" + (f"; that took {took} before the first step" if first else "")
        )
    if not layers:
        return [*said, "Nothing of it was frozen"]
    said.append(
        f"Frozen: {grouped(record.frozen.get('parameters', 0))} parameters in "
        f"{plural(len(layers), 'layer')}, from {layers[0]} to {layers[-1]}{_but(record, layers)}; they are "
        f"{whose} to the last bit, statistics of batch normalization included (checked after training)"
    )
    if "seconds" in record.features:
        once = format_seconds(record.features.get("seconds", 0.0))
        said.append(f"What they make of the images was computed once, in {once}, part of its training time")
    return said


def _but(record: RunRecord, frozen: Sequence[str]) -> str:
    """Name what moves between the first and the last frozen layer."""
    rows = {str(layer.get("name", "")): layer for layer in record.layers}
    names = list(rows)
    if not {frozen[0], frozen[-1]} <= rows.keys():
        return ""
    between = names[names.index(frozen[0]) : names.index(frozen[-1])]
    moving = [name for name in between if name not in frozen and rows[name].get("trainable")]
    return f" but for {listing(moving, most=3)}, which moved" if moving else ""


def _layers(record: RunRecord, shown: Collection[str]) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a network, those of a source that is shown itself in as few as can be."""
    source = str(record.source.get("candidate", ""))
    whole = all(set(layer) >= {*_DRAWN, "trainable"} for layer in record.layers)
    return fold_source(record.layers, source) if whole and source in shown else record.layers


def _drawing(record: RunRecord, layers: Sequence[Mapping[str, Any]]) -> str:
    """Draw the network, unless its record is older than what a drawing needs."""
    if not all(set(layer) >= _DRAWN for layer in layers):
        return ""
    return draw_architecture(layers, title=record.candidate, image_size=record.input_size or None)


def _penalties_table(record: RunRecord) -> Table | None:
    """List the penalties that a probe was tried with, from the strongest down."""
    if not record.probe:
        return None
    columns = (
        numbers("Penalty"), numbers("Training accuracy"), numbers("Validation accuracy"),
        numbers("Validation loss"), numbers("Passes over the features"),
    )  # fmt: skip
    rows = tuple(
        replace(
            row(
                f"{fit['penalty']:g}", percent(fit["train_accuracy"]), percent(fit["validation_accuracy"]),
                number(fit["validation_loss"]), grouped(fit["passes"]),
            ),
            lead=bool(fit.get("chosen")),
        )
        for fit in record.probe
    )  # fmt: skip
    caption = f"Penalties of the probe of {record.candidate}, in the order in which they were tried."
    return Table(caption=caption, columns=columns, rows=rows)


def _layers_table(record: RunRecord, layers: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        words("Layer"), words("Kind"), numbers("Output"), numbers("Parameters"), numbers("Trainable"),
        numbers("Multiplications"),
    )  # fmt: skip
    folded = len(layers) < len(record.layers)
    shorter = f"; those of {record.source.get('candidate')}, which has a table of its own, in brief"
    caption = f"Layers of {record.candidate}, in the order of computation{shorter if folded else ''}."
    return Table(caption=caption, columns=columns, rows=tuple(map(_layer_row, layers)), kind="wide")


def _layer_row(layer: Mapping[str, Any]) -> Row:
    kind = " ".join(filter(None, (str(layer.get("kind", "")), str(layer.get("detail", "")))))
    shape = f" {TIMES} ".join(str(size) for size in layer.get("output_shape", ()))
    counts = (_layer_count(layer.get(key)) for key in ("parameters", "trainable", "multiplications"))
    return row(str(layer.get("name", "")), kind, shape, *counts)


def _layer_count(value: float | None) -> str:
    return grouped(value) if value and math.isfinite(value) else ""
