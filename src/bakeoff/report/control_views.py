"""What was compared and under which control: data, recipe, machine, what is missing, what failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bakeoff.evidence.words import listing
from bakeoff.records import RunRecord, StudyFolder, TaskRecord
from bakeoff.report.view import Cell, Table, Tone, numbers, row, words
from bakeoff.report.words import DIGITS, MISSING, grouped, pixels, plain, plural
from bakeoff.spec import Recipe, StudySpec
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
# Settings that most recipes do not name; listed where one does.
_IF_ASKED = {"sizes", "test_views", "optimizer.bias_factor"}
_UNUSED = {
    "sgd": {"optimizer.betas", "optimizer.eps"},
    "adam": {"optimizer.momentum"},
    "adamw": {"optimizer.momentum"},
    "muon": {"optimizer.betas", "optimizer.eps"},
}  # keys of an optimizer that the other ones read
_SPLIT_WORDS = {"train": "training"}
_ENVIRONMENT_WORDS = {
    "processor": "Processor", "cores": "Cores", "threads": "Threads", "memory_bytes": "Memory",
    "device": "Device", "system": "System", "python": "Python", "torch": "PyTorch", "numpy": "NumPy",
    "pillow": "Pillow", "bakeoff": "bakeoff", "timm": "timm",
}  # fmt: skip


def data_table(tasks: Sequence[TaskRecord], number: int) -> Table:
    """List each task's images, how they were split, and by which digests they are recognised."""
    splits = ("train", "validation", "test")
    remarks = {task.name: _data_remarks(task.details) for task in tasks}
    columns = (
        words("Task"), numbers("Classes"), numbers("Pixels"), *(numbers(split, "Images") for split in splits),
        numbers("left out", "Images"), words("Source and digests"),
        *([words("Remarks")] if any(remarks.values()) else []),
    )  # fmt: skip
    rows = tuple(
        row(
            task.name, grouped(len(task.class_names)), pixels(task.image_size),
            *(grouped(task.counts[split]) if split in task.counts else MISSING for split in splits),
            Cell(text=grouped(len(task.excluded)), tone="warn" if task.excluded else ""),
            Cell(text=task.source, sub=_digests(task)),
            *([Cell(text="; ".join(remarks[task.name]), tone="warn")] if any(remarks.values()) else []),
        )
        for task in tasks
    )  # fmt: skip
    caption = "Data: what every candidate of a task was given."
    return Table(number=number, caption=caption, columns=columns, rows=rows)


def _digests(task: TaskRecord) -> str:
    """Name a task's digests by their first digits; in full they would leave the table no room."""
    return f"data {task.data_fingerprint[:DIGITS]}, split {task.split_digest[:DIGITS]}"


def _data_remarks(details: Mapping[str, Any]) -> list[str]:
    """Say in words what was noticed about a task's images; what was not noticed is not said."""
    said = []
    for pair, count in sorted(_counts(details.get("leaks")).items()):
        seen, held_out = (_SPLIT_WORDS.get(part, part) for part in pair.split("-", 1))
        verb = "is" if count == 1 else "are"
        said.append(f"{plural(count, f'{held_out} image')} {verb} byte for byte among the {seen} images")
    ignored = _counts(details.get("ignored_files"))
    if ignored:
        kinds = listing([kind or "no suffix" for kind in sorted(ignored, key=lambda k: (-ignored[k], k))])
        said.append(f"{plural(sum(ignored.values()), 'file')} ignored ({kinds})")
    dark = _counts({"": details.get("dark_16_bit")}).get("", 0)
    if dark:
        verb = "holds 12 or fewer and comes" if dark == 1 else "hold 12 or fewer and come"
        said.append(f"{plural(dark, 'image')} of 16 bits {verb} out almost black")
    return said


def _counts(values: Any) -> dict[str, int]:
    """Keep the counts above zero of a record's free details; anything else says nothing."""
    found = values if isinstance(values, Mapping) else {}
    return {
        str(key): n for key, n in found.items() if isinstance(n, int) and n > 0 and not isinstance(n, bool)
    }


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
    off = _flat_recipe(Recipe())
    rows = []
    for key in keys:
        values = [recipe.get(key, MISSING) for recipe, _ in groups]
        if key in _IF_ASKED and set(values) == {off[key]}:
            continue
        tone: Tone = "warn" if len(set(values)) > 1 else ""
        rows.append(row(_setting_words(key), *(Cell(text=value, tone=tone) for value in values)))
    heads = [listing(names, most=3) if len(groups) > 1 else "Value" for _, names in groups]
    return Table(
        number=number, kind="pairs" if len(groups) == 1 else "wide",
        caption="The recipe in full, equal for every candidate of a task but for departures that are listed.",
        folded="The recipe in full",
        columns=(words("Setting"), *map(words, heads)), rows=tuple(rows),
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
        row(candidate, task, _setting_words(key), theirs, own)
        for (task, candidate, key), (theirs, own) in seen.items()
    )
    columns = tuple(map(words, ("Candidate", "Task", "Setting", "The task's", "Its own")))
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
        row(
            _ENVIRONMENT_WORDS.get(key, key.replace("_", " ").capitalize()),
            Cell(text="; ".join(values[key]), tone="warn" if len(values[key]) > 1 else ""),
        )
        for key in order
    )
    caption = "Machine, versions and precision, as each run recorded them."
    columns = (words("What"), words("Value"))
    return Table(
        number=number, kind="pairs", columns=columns, rows=rows, caption=caption,
        folded="Machine, versions, precision",
    )  # fmt: skip


def missing_runs(folder: StudyFolder, spec: StudySpec) -> tuple[str, ...]:
    """Name the runs that the study plans and that have not ended, a line for each candidate.

    A task that has not begun is one line; with a single candidate or run it is named like any other.
    """
    lines = []
    for task in spec.tasks:
        planned = spec.seeds_of(task)
        missing = {
            candidate.name: seeds
            for candidate in spec.candidates_of(task)
            if (seeds := [s for s in planned if folder.run(task.name, candidate.name, s).read() is None])
        }
        runs = sum(len(seeds) for seeds in missing.values())
        if len(missing) > 1 and runs == len(spec.candidates_of(task)) * len(planned):
            lines.append(f"{task.name}: all {runs} runs of its {len(missing)} candidates")
            continue
        for name, seeds in missing.items():
            noun = "seed" if len(seeds) == 1 else "seeds"
            lines.append(f"{task.name}: {name}, {noun} {plain(seeds)}")
    return tuple(lines)


def failures_table(records: Iterable[RunRecord], number: int) -> Table | None:
    """List the runs that diverged or failed, with their reasons; None when all finished."""
    rows = tuple(
        row(
            record.candidate, record.task, str(record.seed), Cell(text=record.status, tone="bad"),
            Cell(text=record.reason or "no reason was recorded", sub=_progress(record)),
        )
        for record in records
        if record.status != "finished"
    )  # fmt: skip
    if not rows:
        return None
    columns = (words("Candidate"), words("Task"), numbers("Seed"), words("Ended"), words("Why"))
    caption = "Runs without a result. They are in no mean and no interval."
    return Table(number=number, columns=columns, rows=rows, caption=caption)


def hardware_words(records: Sequence[RunRecord]) -> str:
    """Name where the runs were computed, short."""
    names = []
    for record in records:
        device = str(record.environment.get("device") or "")
        cores = record.environment.get("threads") or record.environment.get("cores")
        threads = f", {plural(int(cores), 'thread')}" if cores else ""
        names.append(device if device not in ("", "cpu") else f"CPU{threads}")
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
            inner = {f"{key}.{sub}": plain(item) for sub, item in value.items()}
            flat.update({name: text for name, text in inner.items() if name not in unused})
        elif key == "sizes" and value:
            flat[key] = ", then ".join(f"{side} pixels for {100 * share:.3g} %" for side, share in value)
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
    steps, seconds = plural(record.steps, "step"), format_seconds(record.train_seconds)
    return f"after {record.epochs:.3g} epochs, {steps}, {seconds}"
