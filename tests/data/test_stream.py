"""Folders are walked, files drawn in parallel and in order, and what cannot be read is told."""

import itertools
import threading
from pathlib import Path

import layouts
import numpy as np
import pytest

from bakeoff.data import stream
from bakeoff.data.decode import load_image
from bakeoff.data.stream import draw_stream, find_images


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["b/2.png", "a/1.PNG", "a/deep/3.jpg", "0.png"]):
        layouts.save(tmp_path / name, layouts.picture(number, number, 9, 5))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_is_walked_in_the_order_of_its_names_and_other_files_are_passed_over(folder):
    found = [str(path.relative_to(folder)) for path in find_images([folder])]
    assert found == ["0.png", "a/1.PNG", "a/deep/3.jpg", "b/2.png"]


def test_a_file_is_taken_whatever_it_is_called_and_places_keep_their_order(folder):
    places = [folder / "b", folder / "a" / "notes.txt", folder / "missing"]
    assert list(find_images(places)) == [folder / "b" / "2.png", *places[1:]]


def test_places_are_taken_as_they_come(folder):
    endless = itertools.repeat(folder / "b")
    assert next(find_images(endless)) == folder / "b" / "2.png"


@pytest.mark.parametrize("threads", [1, 3])
def test_files_come_out_in_order_drawn_as_everywhere(folder, threads, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 3)
    files = [*find_images([folder])] * 5
    batches = list(draw_stream(files, 4, "pad", threads=threads))
    assert [len(batch.files) for batch in batches] == [3] * 6 + [2]
    assert [file for batch in batches for file in batch.files] == files
    pixels = np.concatenate([batch.images_BHWC for batch in batches])
    assert np.array_equal(pixels, np.stack([load_image(file, 4, "pad") for file in files]))


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(folder):
    (folder / "a" / "0.png").write_bytes((folder / "0.png").read_bytes()[:40])
    (folder / "c.png").write_bytes(b"")
    files = [*find_images([folder]), folder / "gone.png"]
    (batch,) = draw_stream(files, 4, "crop")
    assert [file.name for file in batch.files] == ["0.png", "1.PNG", "3.jpg", "2.png"]
    reasons = {file.name: reason for file, reason in batch.unreadable}
    assert reasons.keys() == {"0.png", "c.png", "gone.png"}
    assert reasons["c.png"] == "an empty file"
    assert "No such file" in reasons["gone.png"]
    assert batch.seen == 7
    assert len(batch.images_BHWC) == 4


def test_no_more_than_a_few_batches_are_drawn_ahead_of_who_listens(folder, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 1)
    taken = 0

    def files():
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield folder / "0.png"

    batches = draw_stream(files(), 4, "crop", threads=2)
    next(batches)
    assert taken <= 2 * stream.AHEAD + 2
    batches.close()
    assert not any(thread.name.startswith("ThreadPool") for thread in threading.enumerate())


def test_large_images_come_in_small_batches(monkeypatch):
    monkeypatch.setattr(stream, "_draw", lambda files, size, fit: len(files))
    assert next(iter(draw_stream([Path("x")] * 100, 4000, "crop"))) == 1
