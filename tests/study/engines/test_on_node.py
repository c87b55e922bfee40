"""What travels to a node and back: all that an interrupted run goes on from, and the later of two states."""

import asyncio
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from bakeoff.records import RunFolder
from bakeoff.records.trials import TrialsFile
from bakeoff.study.engines import on_node
from bakeoff.study.engines.on_node import Freight, SentFolder
from bakeoff.study.engines.post import PostOffice
from bakeoff.study.engines.store import BEGUN, Store
from bakeoff.study.engines.worker import Said


def freight(identity="id"):
    return Freight(b"", ("t", "c", 0), identity, "", {}, {}, {}, 1.0, None)


def checkpoint(steps, identity="id"):
    kept = io.BytesIO()
    torch.save({"identity": identity, "plain": {"steps": steps}}, kept)
    return kept.getvalue()


def test_all_that_a_search_was_interrupted_with_travels_and_nothing_else(tmp_path):
    folder = RunFolder(tmp_path)
    travels = {*BEGUN, "traceback.txt"}
    stays = {
        "record.json", "weights.safetensors", "predictions.npz", "probabilities.npz", ".trials.jsonl.partial",
        "external/train.npy", "tensorboard/events.1",
    }  # fmt: skip
    for name in (*travels, *stays):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert on_node._begun(folder) == {name: name.encode() for name in travels}


def test_a_journal_its_clock_and_a_trials_checkpoint_are_sent_as_they_are_written(tmp_path):
    sent = []
    folder = SentFolder(tmp_path, None, lambda name, content: sent.append((name, content)))
    file = TrialsFile(folder.trials_path, folder.keep)
    file.add("plan", {"a": 1})
    file.beat(2.5)
    scratch = folder.within("trial")
    scratch.path.mkdir()
    scratch.checkpoint_path.write_bytes(b"steps")
    scratch.keep(scratch.checkpoint_path)
    assert [name for name, _ in sent] == ["trials.jsonl", "trials.clock.json", "trial/checkpoint.pt"]
    assert sent[0][1] == folder.trials_path.read_bytes()
    assert sent[2][1] == b"steps"


@pytest.mark.parametrize(
    ("name", "earlier", "later"),
    [
        ("checkpoint.pt", checkpoint(5), checkpoint(40)),
        ("checkpoint.pt", checkpoint(900, "of another run"), checkpoint(1)),
        ("checkpoint.pt", b"damaged", checkpoint(1)),
        ("checkpoint.pt", None, checkpoint(1)),
        ("trials.clock.json", b'{"seconds": 9.5}', b'{"seconds": 10}'),
        ("trials.jsonl", b"one\n", b"one\ntwo\n"),
        ("test_readings.json", b"[1]", b"[1, 2]"),
    ],
)
def test_of_two_states_of_a_run_the_later_one_is_known(name, earlier, later):
    assert on_node._how_far(name, earlier, freight()) < on_node._how_far(name, later, freight())


def test_a_run_that_has_ended_in_a_store_is_found_there_by_its_identity(tmp_path):
    store = Store(str(tmp_path / "bucket" / "run"))
    assert store.ended("id") == []
    store.put("weights.safetensors", b"w")
    store.put("external/log.txt", b"l")
    assert store.ended("id") == []
    store.put("record.json", b'{"identity": "id", "status": "finished"}')
    assert sorted(store.ended("id")) == ["external/log.txt", "record.json", "weights.safetensors"]
    assert store.ended("another") == []
    store.put("record.json", b'{"identity": "id", "status": "failed"}')
    assert store.ended("id") == []


def test_who_brings_a_file_waits_until_it_is_written_and_others_do_not():
    async def day():
        office = PostOffice()
        assert await office.tell("run", 1, Said("line", "hello")) == ""
        bringing = asyncio.ensure_future(office.tell("run", 1, Said("file", ("a", b"1"))))
        await asyncio.sleep(0)
        letters = await office.take()
        assert [(news.said.kind, bool(news.number)) for news in letters] == [("line", False), ("file", True)]
        await office.wish("", "stop")
        assert not bringing.done()
        await office.written([letters[1].number, 99])
        assert await bringing == "stop"
        assert await office.take() == []

    asyncio.run(day())


def test_folders_of_killed_runs_are_removed_and_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = {f"bakeoff-run-{os.getpid()}-abc", f"bakeoff-run-{ended.pid}-abc", "bakeoff-run-abc", "other"}
    for name in names:
        (tmp_path / name / "run").mkdir(parents=True)
    on_node._remove_left_behind()
    assert {path.name for path in Path(tmp_path).iterdir()} == names - {f"bakeoff-run-{ended.pid}-abc"}
