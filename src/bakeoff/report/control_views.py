"""What was compared and under which control, in words: data, recipe, machine, what is missing, what failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bakeoff.evidence.words import listing
from bakeoff.records import RunRecord, StudyFolder, TaskRecord
from bakeoff.report.view import Cell, Column, Row, Table
from bakeoff.report.words import MISSING, grouped, plain, plural
from bakeoff.spec import StudySpec
from bakeoff.units import format_bytes, format_seconds

_RECIPE_WORDS = {
    "optimizer.lr": "optimizer: learning rate at its peak",
    "optimizer.betas": "optimizer: betas",
    "optimizer.eps": "optimizer: epsilon",
    "clip_norm": "gradients clipped at norm",
    "ema": "averaged weights, decay per step",
    "early_stop": "early stop",
    "compile": "compiled step",
}
_UNUSED = {
    "sgd": {"optimizer.betas", "optimizer.eps"},
    "adam": {"optimizer.momentum"},
    "adamw": {"optimizer.momentum"},
    "muon": {"optimizer.betas", "optimizer.eps"},
}  # keys of an optimizer that the other ones read
_ENVIRONMENT_WORDS = {
    "processor": "Processor", "cores": "Cores", "threads": "Threads", "memory_bytes": "Memory", "device": "Device",
    "system": "System", "python": "Python", "torch": "PyTorch", "numpy": "NumPy", "pillow": "Pillow",
    "bakeoff": "bakeoff", "timm": "timm",
}  # fmt: skip
_STATUS_WORDS = {"diverged": "diverged", "failed": "failed"}


def data_table(tasks: Sequence[TaskRecord], number: int) -> Table:
    """List each task's images, how they were split, and by which digests they are recognised."""
    columns = (
        Column(label="Task"), Column(label="Classes", numeric=True), Column(label="Pixels", numeric=True),
        Column(label="train", numeric=True, group="Images"), Column(label="validation", numeric=True, group="Images"),
        Column(label="test", numeric=True, group="Images"), Column(label="left out", numeric=True, group="Images"),
        Column(label="Source and digests"),
    )  # fmt: skip
    rows = tuple(
        Row(cells=(
            Cell(text=task.name), Cell(text=grouped(len(task.class_names))),
            Cell(text=f"{task.image_size} × {task.image_size}"),
            *(Cell(text=grouped(task.counts[s]) if s in task.counts else MISSING) for s in ("train", "validation", "test")),
            Cell(text=grouped(len(task.excluded)), tone="warn" if task.excluded else ""),
            Cell(text=task.source, sub=f"data {task.data_fingerprint}, split {task.split_digest}"),
        ))
        for task in tasks
    )  # fmt: skip
    return Table(number=number, caption="Data: what every candidate of a task was given.", columns=columns, rows=rows)


def recipe_table(spec: StudySpec, number: int) -> Table:
    """List every key of the recipe, in a column for each group of tasks that share it."""
    groups: list[tuple[dict[str, str], list[str]]] = []
    for task in spec.tasks:
        recipe = _flat_recipe(spec.recipe_of(task))
        for known, names in groups:
            if known == recipe:
                names.append(task.name)
                break
        else:
            groups.append((recipe, [task.name]))
    keys = list(dict.fromkeys(key for recipe, _ in groups for key in recipe))
    rows = []
    for key in keys:
        values = [recipe.get(key, MISSING) for recipe, _ in groups]
        tone = "warn" if len(set(values)) > 1 else ""
        rows.append(Row(cells=(Cell(text=_setting_words(key)), *(Cell(text=v, tone=tone) for v in values))))
    heads = [listing(names, most=3) if len(groups) > 1 else "Value" for _, names in groups]
    return Table(
        number=number, kind="pairs" if len(groups) == 1 else "wide",
        caption="The recipe, in full: equal for every candidate of a task, except where a candidate says otherwise.",
        columns=(Column(label="Setting"), *(Column(label=head) for head in heads)), rows=tuple(rows),
    )  # fmt: skip


def differences_table(records: Iterable[RunRecord], number: int) -> Table | None:
    """List where candidates depart from their task's recipe; None when none does."""
    seen: dict[tuple[str, str, str], tuple[str, str]] = {}
    for record in records:
        for key, (tasks, own) in record.differences.items():
            seen[(record.task, record.candidate, key)] = (plain(tasks), plain(own))
    if not seen:
        return None
    rows = tuple(
        Row(cells=(Cell(text=candidate), Cell(text=task), Cell(text=_setting_words(key)), Cell(text=theirs), Cell(text=own)))
        for (task, candidate, key), (theirs, own) in seen.items()
    )
    columns = tuple(Column(label=x) for x in ("Candidate", "Task", "Setting", "The task's", "Its own"))
    return Table(
        number=number, columns=columns, rows=rows,
        caption="Departures from the recipe: these candidates are ranked in groups of their own.",
    )  # fmt: skip


def machine_table(records: Sequence[RunRecord], number: int) -> Table:
    """List the hardware, the versions and the precision; several values where runs differ."""
    values: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in {**record.environment, **_precision(record)}.items():
            values.setdefault(key, {})[_environment_value(key, value)] = None
    order = [key for key in ("precision", *_ENVIRONMENT_WORDS) if key in values]
    order += sorted(set(values) - set(order))
    rows = tuple(
        Row(cells=(
            Cell(text=_ENVIRONMENT_WORDS.get(key, key.replace("_", " ").capitalize())),
            Cell(text="; ".join(values[key]), tone="warn" if len(values[key]) > 1 else ""),
        ))
        for key in order
    )  # fmt: skip
    caption = "Machine, versions and precision, as each run recorded them."
    return Table(number=number, kind="pairs", columns=(Column(label="What"), Column(label="Value")), rows=rows, caption=caption)


def missing_runs(folder: StudyFolder, spec: StudySpec) -> tuple[str, ...]:
    """Name the runs that the study plans and that have not ended, a line for each candidate."""
    lines = []
    for task in spec.tasks:
        for candidate in spec.candidates_of(task):
            seeds = [seed for seed in spec.seeds if folder.run(task.name, candidate.name, seed).read() is None]
            if seeds:
                lines.append(f"{task.name}: {candidate.name}, {'seed' if len(seeds) == 1 else 'seeds'} {plain(seeds)}")
    return tuple(lines)


def failures_table(records: Iterable[RunRecord], number: int) -> Table | None:
    """List the runs that diverged or failed, with their reasons; None when all finished."""
    rows = tuple(
        Row(cells=(
            Cell(text=record.candidate), Cell(text=record.task), Cell(text=str(record.seed)),
            Cell(text=_STATUS_WORDS.get(record.status, record.status), tone="bad"),
            Cell(text=record.reason or "no reason was recorded", sub=_progress(record)),
        ))
        for record in records
        if record.status != "finished"
    )  # fmt: skip
    if not rows:
        return None
    columns = (
        Column(label="Candidate"), Column(label="Task"), Column(label="Seed", numeric=True), Column(label="Ended"),
        Column(label="Why"),
    )  # fmt: skip
    return Table(number=number, columns=columns, rows=rows, caption="Runs without a result. They are in no mean and no interval.")


def hardware_words(records: Sequence[RunRecord]) -> str:
    """Name where the runs were computed, short."""
    names = []
    for record in records:
        device = str(record.environment.get("device") or "")
        cores = record.environment.get("threads") or record.environment.get("cores")
        names.append(device if device and device != "cpu" else f"CPU, {plural(int(cores), 'thread')}" if cores else "CPU")
    return listing(list(dict.fromkeys(names))) if names else MISSING


def _flat_recipe(recipe: Any) -> dict[str, str]:
    """Spread a recipe over dotted keys, the length said once, without what its optimizer does not read."""
    values = recipe.model_dump(mode="json")
    flat: dict[str, str] = {"length": _length_words(recipe)}
    unused = _UNUSED.get(values["optimizer"]["name"], set())
    for key, value in values.items():
        if key in ("epochs", "steps", "time"):
            continue
        if isinstance(value, Mapping):
            flat.update({f"{key}.{sub}": plain(item) for sub, item in value.items() if f"{key}.{sub}" not in unused})
        else:
            flat[key] = plain(value)
    return flat


def _length_words(recipe: Any) -> str:
    length = recipe.length
    if length.unit == "seconds":
        return f"{format_seconds(length.amount)} of training"
    return f"{length.amount:g} {length.unit if length.amount != 1 else length.unit.removesuffix('s')}"


def _setting_words(key: str) -> str:
    return _RECIPE_WORDS.get(key, key.replace(".name", "").replace(".", ": ").replace("_", " "))


def _precision(record: RunRecord) -> dict[str, str]:
    used, reason = record.precision.get("used"), record.precision.get("reason")
    if not used:
        return {}
    return {"precision": f"{used} ({reason})" if reason else used}


def _environment_value(key: str, value: Any) -> str:
    if key.endswith("_bytes") and isinstance(value, int | float):
        return format_bytes(value)
    return plain(value)


def _progress(record: RunRecord) -> str:
    if not record.steps:
        return ""
    return f"after {record.epochs:.3g} epochs, {plural(record.steps, 'step')}, {format_seconds(record.train_seconds)}"
