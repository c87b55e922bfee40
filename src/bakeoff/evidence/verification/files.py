"""The lock, the files that it has noted, and the tables that its records give again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from bakeoff.errors import BakeoffError
from bakeoff.evidence.deduplicated import deduplicated_results
from bakeoff.evidence.results import result_rows, results_csv, results_json
from bakeoff.evidence.runs import load_runs
from bakeoff.evidence.verification.check import Check, Findings, some
from bakeoff.evidence.verification.ended import Contents
from bakeoff.records.atomic import json_text, read_json
from bakeoff.records.digests import DIGEST, FILES, LATE, file_sha256, lock_digest

_MAY_BE_ELSEWHERE = ("weights.safetensors", "probabilities.npz")  # a published copy goes without them

Rows = dict[tuple[str, ...], dict[str, str]]


def check_lock(contents: Contents) -> Check:
    """Hold the lock against its own digest, its tasks' records and its runs' machine."""
    found = Findings("the lock", "statements of study.lock")
    lock = contents.folder.read_lock() or {}
    if DIGEST in lock:
        said = f"study.lock: its digest is {str(lock[DIGEST])[:12]}, but what it says gives"
        digest = lock_digest(lock)
        found.expect(lock[DIGEST] == digest, f"{said} {digest[:12]}: a field of it was changed")
    else:
        found.unchecked.append("the digest of study.lock itself is not recorded in it: it is older than that")
    for task, digests in lock.get("tasks", {}).items():
        known = contents.tasks.get(task)
        if known is None:
            continue
        for key in ("data_fingerprint", "split_digest"):
            words = f"study.lock: tasks.{task}.{key} is {str(digests.get(key))[:12]}, but task.json says"
            found.expect(digests.get(key) == getattr(known, key), f"{words} {getattr(known, key)[:12]}")
    _check_machine(contents, lock, found)
    return found.close()


def _check_machine(contents: Contents, lock: Mapping[str, Any], found: Findings) -> None:
    """Hold the resolved machine against what every run has recorded."""
    resolved = lock.get("resolved", {})
    used_by = {asked: pair.get("used") for asked, pair in resolved.get("precision", {}).items()}
    for run in contents.runs:
        threads = run.record.environment.get("threads")
        if "threads" in resolved and threads is not None:
            found.expect(
                threads == resolved["threads"],
                f"study.lock: resolved.threads is {resolved['threads']}, but {run.name} records {threads}",
            )
        if run.candidate.external is not None:  # its precision is its own
            continue
        asked, used = run.record.recipe.get("precision"), run.record.precision.get("used")
        if asked in used_by and used is not None:
            found.expect(
                used == used_by[asked],
                f"study.lock: resolved.precision.{asked} is {used_by[asked]}, but {run.name} records {used}",
            )
    began, environments = lock.get("environment", {}), [run.record.environment for run in contents.runs]
    for key, value in began.items():
        others = {str(environment[key]) for environment in environments if key in environment}
        if others and str(value) not in others:
            found.remarks.append(
                f"study.lock: environment.{key} is {value}, but the runs record {some(sorted(others))}"
            )


def check_files(contents: Contents) -> Check:
    """Hold every file that the lock has noted against its digest."""
    found = Findings("the files against the lock", "digests of files")
    lock = contents.folder.read_lock() or {}
    noted: Mapping[str, str] = lock.get(FILES, {})
    elsewhere: dict[str, int] = {}
    for name, digest in noted.items():
        path = contents.folder.path / name
        with found.trying(name):
            now = file_sha256(path)
            if now is None and path.name in _MAY_BE_ELSEWHERE:
                elsewhere[path.name] = elsewhere.get(path.name, 0) + 1
            elif now is None:
                found.differing.append(f"{name} is gone; study.lock has its digest")
            else:
                words = f"{name}: its SHA-256 is {now[:12]}, study.lock has {digest[:12]}"
                found.expect(now == digest, words)
    for name, count in elsewhere.items():
        files = "file" if count == 1 else "files"
        found.unchecked.append(f"{count} {files} {name} not in this folder (a published copy has none)")
    unknown = [run.name for run in contents.runs if _place(contents, run.folder.record_path) not in noted]
    if unknown:
        found.unchecked.append(f"not recorded in the lock, which is older: the files of {some(unknown)}")
    late = lock.get(LATE, [])
    if late:
        found.remarks.append(
            f"noted by a later command than the one that trained, so proved only since then: {some(late)}"
        )
    return found.close()


def _place(contents: Contents, path: Any) -> str:
    return str(path.relative_to(contents.folder.path).as_posix())


def check_tables(contents: Contents) -> Check:
    """Make `results.csv` and `results.json` again and compare them, cell by cell where bytes differ."""
    found = Findings("the tables", "cells of results.csv and results.json")
    try:
        runs = load_runs(contents.folder, contents.spec)
        rows = result_rows(contents.folder, contents.spec, runs)
        told = results_json(rows, contents.spec) | deduplicated_results(contents.folder, contents.spec, runs)
    except BakeoffError as error:
        found.unchecked.append(f"results.csv and results.json cannot be made again: {error}")
        return found.close()
    _check_csv(contents, results_csv(rows), found)
    _check_json(contents, told, found)
    return found.close()


def _check_csv(contents: Contents, ours: str, found: Findings) -> None:
    path = contents.folder.csv_path
    try:
        with path.open(encoding="utf-8", newline="") as file:
            there = file.read()
    except FileNotFoundError:
        found.unchecked.append("there is no results.csv")
        return
    except (OSError, UnicodeDecodeError) as error:
        found.differing.append(f"results.csv cannot be read: {error}")
        return
    before = len(found.differing)
    _compare_rows("results.csv", _rows(there), _rows(ours), found)
    if there != ours and len(found.differing) == before and _columns(there) == _columns(ours):
        found.differing.append("results.csv: other bytes than its records give, though no cell differs")


def _check_json(contents: Contents, ours: dict[str, Any], found: Findings) -> None:
    path = contents.folder.json_path
    with found.trying("results.json"):
        there = read_json(path, "results", dict)
        if there is None:
            found.unchecked.append("there is no results.json")
            return
        ours = json.loads(json_text(ours))
        for key in ("study", "title", "seeds"):
            words = f"results.json: {key} is {there.get(key)!r}, expected {ours[key]!r}"
            found.expect(there.get(key) == ours[key], words)
        sides = [
            {_key(row): {str(k): _plain(v) for k, v in row.items()} for row in side.get("runs", [])}
            for side in (there, ours)
        ]
        _compare_rows("results.json", sides[0], sides[1], found)


def _compare_rows(name: str, there: Rows, ours: Rows, found: Findings) -> None:
    """Compare cells by run and column; a column that one side lacks was added by another version."""
    for key in ours.keys() - there.keys():
        found.differing.append(f"{name}: no row for {'/'.join(key)}, which has ended")
    for key in there.keys() - ours.keys():
        found.differing.append(f"{name}: a row for {'/'.join(key)}, which no record gives")
    columns: set[str] = set()
    for key in ours.keys() & there.keys():
        columns |= ours[key].keys() ^ there[key].keys()
        for column in ours[key].keys() & there[key].keys():
            came, expected = there[key][column], ours[key][column]
            words = f"{name}: {column} of {'/'.join(key)} is {came or 'empty'}, its record gives"
            found.expect(came == expected, f"{words} {expected or 'nothing'}")
    if columns:
        found.remarks.append(
            f"{name} is of another version of bakeoff; only one side has {some(sorted(columns))}"
        )


def _rows(text: str) -> Rows:
    return {
        _key(row): {str(k): _plain(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))
    }


def _columns(text: str) -> str:
    return text.partition("\n")[0]


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in ("task", "candidate", "seed"))


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
