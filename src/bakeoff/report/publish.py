"""A study in compact form, to be committed and read by others: evidence without weights.

    study.lock, results.csv, results.json    as the study has them
    report.html                              without the test images
    README.md                                the result tables, for whoever browses the folder
    charts/*.png                             the page's charts
    tasks/<task>/task.json                   the names of the test images only where they are few
    tasks/<task>/label_errors.json           images worth a look, by name
    tasks/<task>/manifest.csv.gz             file, class and part of every image
    tasks/<task>/attributions.npz            where candidates looked, without the images
    tasks/<task>/checks.json                 what is wrong with the images
    runs/.../record.json, predictions.npz    per-image predictions of the test images, of their five
                                             probabilities the first, rounded

Paths of this machine are cut to their last part. `bakeoff report` on the published folder
makes the same `results.csv` again, byte for byte.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bakeoff.errors import ConfigError
from bakeoff.evidence.summarise import gather
from bakeoff.records import Predictions, RunFolder, RunRecord, StudyFolder, TaskRecord
from bakeoff.records.atomic import write_text
from bakeoff.records.checks import checks_adapter
from bakeoff.records.digests import FILES, note_files
from bakeoff.records.label_errors import label_errors_adapter
from bakeoff.records.study import MANIFEST_COLUMNS
from bakeoff.report.markdown import command_lines, heading, plain_text, table_lines
from bakeoff.report.view import StudyView
from bakeoff.report.views import study_view
from bakeoff.report.write import draw_charts, write_report
from bakeoff.spec import StudySpec

MOST_TEST_FILES = 2000  # names; Tiny ImageNet's 10,000 would be a third of the published folder
LARGEST_BYTES = 6_000_000  # that a repository should take in for a study; its predictions may be half of it
KEPT_BITS = 8  # of the fraction of a probability: three digits

T = TypeVar("T")

_LEFT_BEHIND = ("/weights.safetensors", "/probabilities.npz")

_PUBLISHED = {
    "study.lock", "results.csv", "results.json", "report.html", "README.md", "charts", "tasks", "runs",
}  # fmt: skip

# An absolute path of at least two parts, or one below the home folder; not the path of a URL.
_PATH = re.compile(
    r"(?:file://|(?<![\w./~-]))(?:~|[A-Za-z]:)?[/\\](?:[^\s'\"/\\:,;]+[/\\])+([^\s'\"/\\:,;]*)"
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where a study was published, and how large that is."""

    path: Path
    size_bytes: int

    @property
    def too_large(self) -> bool:
        """Whether it is more than a repository should take in."""
        return self.size_bytes > LARGEST_BYTES


def publish(folder: StudyFolder, target: Path) -> Published:
    """Copy a study in compact form, its tables and page made anew.

    Args:
        folder: The study.
        target: The folder to be; an earlier publication there is replaced.

    Returns:
        Where it lies, and its size.

    Raises:
        ConfigError: The target holds something that is no publication.
        StudyError: The folder holds no study, or its records contradict each other.
    """
    spec = folder.spec()
    _refuse_other_folder(folder, target)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _fill(folder, spec, StudyFolder(partial))
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Published(path=target, size_bytes=sum(file.stat().st_size for file in _files(target)))


def without_paths(value: T) -> T:
    """Copy plain values with every absolute path cut to its last part.

    >>> without_paths({"source": "read from /home/ann/photos/birds, 3 files"})
    {'source': 'read from …/birds, 3 files'}
    >>> without_paths("see https://example.org/a/b, 1/2 and conv 3x3 /2")
    'see https://example.org/a/b, 1/2 and conv 3x3 /2'
    """
    found: Any = value
    if isinstance(value, str):
        found = _PATH.sub(lambda match: f"…/{match[1]}", value.replace(f"{Path.home()}/", "~/"))
    elif isinstance(value, dict):
        found = {without_paths(key): without_paths(item) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        found = [without_paths(item) for item in value]
    result: T = found
    return result


def _refuse_other_folder(folder: StudyFolder, target: Path) -> None:
    """Refuse to replace what is no publication, the study itself above all."""
    if target.resolve() == folder.path.resolve():
        raise ConfigError(f"--publish: got {target}, which is the study itself; expected another folder")
    if not target.exists():
        return
    if not target.is_dir():
        raise ConfigError(f"--publish: got {target}, which is a file; expected a folder")
    strange = sorted(path.name for path in target.iterdir() if path.name not in _PUBLISHED)
    strange += [file.name for file in _files(target) if file.suffix in (".safetensors", ".pt")]
    is_publication = (target / "README.md").exists() and (target / "study.lock").exists()
    if strange or (any(target.iterdir()) and not is_publication):
        what = strange[0] if strange else "files that are no publication"
        raise ConfigError(f"--publish: {target} holds {what}, expected a new folder or a publication")


def _fill(folder: StudyFolder, spec: StudySpec, to: StudyFolder) -> None:
    """Write everything into a folder that nobody sees yet."""
    to.path.mkdir(parents=True)
    lock = folder.read_lock() or {}
    if lock.get("command"):  # where it was trained says nothing to those who read it elsewhere
        lock = {**lock, "command": {k: v for k, v in lock["command"].items() if k != "out"}}
    noted = lock.get(FILES, {})
    # Of what does not travel the digests do: whoever has the weights can tell that they are these.
    absent = {name: value for name, value in noted.items() if name.endswith(_LEFT_BEHIND)}
    to.write_lock(without_paths({**lock, FILES: absent} if FILES in lock else lock))
    for task in spec.tasks:
        record = folder.read_task(task.name)
        if record is not None:
            to.write_task(_lighter(record))
            _copy_checks(folder, to, task.name)
            images = folder.read_manifest(task.name)
            if images:  # without the digests, which no compression makes smaller
                listed = [name for name in MANIFEST_COLUMNS if name != "sha256"]
                to.write_manifest(task.name, listed, ([image[name] for name in listed] for image in images))
        heat = folder.read_attributions(task.name)
        if heat is not None:  # what a failing network said may hold a path
            told = [replace(one, note=without_paths(one.note)) for one in heat.candidates]
            to.write_attributions(task.name, replace(heat, candidates=tuple(told)))
        doubts = folder.read_label_errors(task.name)
        if doubts is not None:  # without their pictures
            doubts = label_errors_adapter().validate_python(without_paths(asdict(doubts)))
            to.write_label_errors(task.name, doubts, np.zeros(0, np.int64), np.zeros((0, 1, 1, 3), np.uint8))
    for run in folder.records(spec):
        name = (run.task, run.candidate, run.seed)
        _copy_run(run, folder.run(*name), to.run(*name))
        if folder.run(*name).record_path.relative_to(folder.path).as_posix() in noted:
            note_files(to, to.run(*name).files())
    if noted:
        note_files(to, (file for task in spec.tasks for file in to.task_files(task.name)))
    evidence = gather(to)
    write_report(to, images=False, evidence=evidence)
    charts = [path for path in draw_charts(evidence, to.path / "charts") if _keep_png(path)]
    text = markdown(study_view(to, images=False, evidence=evidence), [path.name for path in charts])
    write_text(to.path / "README.md", text)


def _keep_png(path: Path) -> bool:
    """Remove the SVG, which Markdown does not need beside the PNG."""
    if path.suffix == ".svg":
        path.unlink()
        return False
    return True


def _lighter(record: TaskRecord) -> TaskRecord:
    files = record.test_files if len(record.test_files) <= MOST_TEST_FILES else []
    return replace(
        record,
        source=without_paths(record.source),
        details=without_paths(record.details),
        excluded=without_paths(record.excluded),
        test_files=without_paths(files),
    )


def _copy_checks(folder: StudyFolder, to: StudyFolder, task: str) -> None:
    """Copy what is wrong with a task's images, without the images."""
    checks = folder.read_checks(task)
    if checks is not None:
        to.write_checks(task, checks_adapter().validate_python(without_paths(asdict(checks))))


def _copy_run(record: RunRecord, source: RunFolder, to: RunFolder) -> None:
    """Copy the predictions of the test images, and the record after them."""
    test = source.read_predictions("test")
    if test is not None:
        to.write_predictions({"test": _fewer_probabilities(test)}, smallest=True)
    for mine, theirs in ((source.trials_path, to.trials_path), (source.network_path, to.network_path)):
        if mine.exists():
            write_text(theirs, without_paths(mine.read_text(encoding="utf-8")))
    to.write(RunRecord(**without_paths(vars(record))))


def _fewer_probabilities(predictions: Predictions) -> Predictions:
    """Keep the best class's probability alone, to three digits: all five are half of a file."""
    bits_N1 = np.ascontiguousarray(predictions.probability_NT[:, :1], dtype=np.float32).view(np.uint32)
    dropped = 23 - KEPT_BITS  # of float32's fraction; a half of the last kept bit rounds to the nearest
    rounded_N1 = (bits_N1 + np.uint32(1 << (dropped - 1))) >> np.uint32(dropped) << np.uint32(dropped)
    return replace(predictions, probability_NT=rounded_N1.view(np.float32))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def markdown(view: StudyView, charts: list[str]) -> str:
    """Arrange a view's verdicts and result tables as Markdown.

    Args:
        view: The page.
        charts: File names in ``charts/``, in the page's order.

    Returns:
        The text of a README.
    """
    lines = heading(view)
    pictures = iter(charts)
    for verdict, task in zip(view.verdicts, view.tasks, strict=True):
        lines += [f"## {plain_text(task.name)}", "", f"**{plain_text(verdict.said)}**", ""]
        lines += [plain_text(words) + "\n" for words in (verdict.why, task.words) if words]
        lines += [*table_lines(task.results), "", plain_text(task.results.caption), ""]
        for panel in (panel for figure in task.figures for panel in figure.panels):
            title = plain_text(f"{panel.title}, {task.name}")
            lines += [f"![{title}](charts/{next(pictures)})", ""]
        lines += [f"- {plain_text(words)}" for words in task.notes] + [""] * bool(task.notes)
    lines += ["## Do it again", ""]
    lines += command_lines(view.commands)
    lines += ["The page, with comparisons, curves and networks, is `report.html`; it opens offline.", ""]
    return "\n".join(lines)
