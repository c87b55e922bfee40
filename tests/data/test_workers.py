from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import layouts
import numpy as np
import pytest

from bakeoff.data import workers
from bakeoff.data.archive import ZipTree
from bakeoff.data.tree import FolderTree, Tree
from bakeoff.data.workers import Job, Seen, decode_all
from bakeoff.errors import ResourceError


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small tests have processes, and more than one chunk each."""
    monkeypatch.setattr(workers, "WORTHWHILE", 0)
    monkeypatch.setattr(workers, "CHUNK", 5)


def decode(tree: Tree, keys: list[str], rows: Path, count: int) -> tuple[list[Seen], np.ndarray]:
    rows.touch()
    told: list[int] = []
    seen = decode_all(Job(tree, 12, "crop", rows), keys, count, told.append)
    assert sum(told) == len(keys)
    return seen, np.fromfile(rows, dtype=np.uint8).reshape(-1, 12, 12, 3)


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_processes_do_what_one_process_does(form: str, class_folders: Path, tmp_path: Path) -> None:
    tree: Tree = FolderTree(class_folders)
    keys = sorted(tree.stamps())
    if form == "zip":
        tree = ZipTree(layouts.zipped(class_folders, tmp_path / "a.zip"), f"{class_folders.name}/")
    alone = decode(tree, keys, tmp_path / "alone", 1)
    beside = decode(tree, keys, tmp_path / "beside", 3)
    assert beside[0] == alone[0]
    assert np.array_equal(beside[1], alone[1])


def test_a_pass_notes_content_size_and_mode(tmp_path: Path) -> None:
    layouts.save(tmp_path / "a.png", layouts.picture(1, 0, 10, 20))
    (seen,), _ = decode(FolderTree(tmp_path), ["a.png"], tmp_path / "rows", 1)
    digest = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    assert seen == Seen(digest, width=20, height=10, mode="RGB")


def test_a_file_that_vanished_has_a_reason(tmp_path: Path) -> None:
    (seen,), rows_NHWC = decode(FolderTree(tmp_path), ["gone.png"], tmp_path / "rows", 1)
    assert seen.reason == "unreadable (No such file or directory)"
    assert rows_NHWC.max() == 0


@pytest.mark.usefixtures("several")
def test_an_unwritable_row_in_a_process_is_raised_here(class_folders: Path, tmp_path: Path) -> None:
    tree = FolderTree(class_folders)
    job = Job(tree, 12, "crop", tmp_path / "nowhere" / "rows")
    with pytest.raises(FileNotFoundError):
        decode_all(job, sorted(tree.stamps()), 2, lambda _count: None)


def test_large_images_travel_in_small_messages(class_folders: Path, tmp_path: Path) -> None:
    tree = FolderTree(class_folders)
    (tmp_path / "rows").touch()
    told: list[int] = []
    decode_all(Job(tree, 1024, "crop", tmp_path / "rows"), sorted(tree.stamps())[:25], 1, told.append)
    assert told == [10, 10, 5]  # of 3.1 MB each


class Deadly(FolderTree):
    """Ends the process that reads from it, as the kernel does when memory runs out."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("__import__('os')._exit(9)",))


@pytest.mark.usefixtures("several")
def test_a_process_that_dies_is_said_in_one_line(class_folders: Path, tmp_path: Path) -> None:
    keys = sorted(FolderTree(class_folders).stamps())
    with pytest.raises(ResourceError, match=r"a decode worker died \(exit code 9\)"):
        decode(Deadly(class_folders), keys, tmp_path / "rows", 2)


def test_a_users_file_that_is_named_like_a_module_of_python_is_not_imported(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    keys = sorted(FolderTree(class_folders).stamps())
    monkeypatch.setattr(workers, "WORTHWHILE", 0)
    seen, _ = decode(FolderTree(class_folders), keys, tmp_path / "rows", 2)
    assert len(seen) == len(keys)


def test_a_script_without_a_guard_may_prepare_data(tmp_path: Path) -> None:
    # multiprocessing would import this script again in every worker, and fail.
    layouts.class_folders(tmp_path / "data")
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from bakeoff.data import prepare, workers\n"
        "from bakeoff.spec import TaskSpec\n"
        "workers.WORTHWHILE = 0\n"
        "workers.CHUNK = 10\n"
        "task = TaskSpec(name='t', data='data', image_size=8)\n"
        "data = prepare(task, base_dir=Path(), cache_dir=Path('cache'), decoders=2)\n"
        "print(len(data.keys))\n"
    )
    command = [sys.executable, str(script)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert (run.stdout, run.stderr) == ("36\n", "")
