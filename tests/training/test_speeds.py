"""The table of measured speeds: each network is timed once on a machine."""

from __future__ import annotations

from dataclasses import replace

import jobs
import pytest

from bakeoff.training import speeds
from bakeoff.training.cost import Measured
from bakeoff.training.machine import Machine


@pytest.fixture
def timed(monkeypatch) -> list[str]:
    """Count what is timed; the second answer is twice the first."""
    heard: list[str] = []

    def measure(job, **options):
        heard.append(job.model_digest)
        return Measured(0.1, 0.01, 10, 10, 100.0 * len(heard))

    monkeypatch.setattr(speeds, "measure", measure)
    return heard


def test_a_second_search_reads_what_the_first_has_measured(tmp_path, timed):
    job = jobs.make_job(tmp_path)
    first = speeds.Speeds(tmp_path / "cache", job).images_per_second(job)
    again = speeds.Speeds(tmp_path / "cache", job).images_per_second(job)
    assert first == again == 100.0
    assert len(timed) == 1


@pytest.mark.parametrize(
    "change",
    [{"model_digest": "another"}, {"precision": "bf16"}, {"recipe": {"batch_size": 4}},
     {"recipe": {"optimizer": {"name": "muon"}}}],
)  # fmt: skip
def test_what_changes_the_speed_is_timed_anew(tmp_path, timed, change):
    job = jobs.make_job(tmp_path)
    if "recipe" in change:
        change = {"recipe": job.recipe.overlaid(change["recipe"], "test")}
    table = speeds.Speeds(tmp_path / "cache", job)
    assert table.images_per_second(job) == 100.0
    assert table.images_per_second(replace(job, **change)) == 200.0
    assert table.images_per_second(replace(job, seed=5, study="other")) == 100.0


def test_another_machine_has_a_table_of_its_own(tmp_path, timed):
    job = jobs.make_job(tmp_path)
    speeds.Speeds(tmp_path / "cache", job).images_per_second(job)
    other = replace(job, machine=Machine(device="cpu", threads=2))
    assert speeds.Speeds(tmp_path / "cache", other).images_per_second(other) == 200.0


def test_a_damaged_table_is_measured_again(tmp_path, timed):
    job = jobs.make_job(tmp_path)
    table = speeds.Speeds(tmp_path / "cache", job)
    table.images_per_second(job)
    table.path.write_text("{")
    assert speeds.Speeds(tmp_path / "cache", job).images_per_second(job) == 200.0


def test_what_was_cut_short_is_too_slow_and_is_not_kept(tmp_path, monkeypatch):
    heard: list[float] = []

    def measure(job, *, longest, **options):
        heard.append(longest)
        return Measured(0.1, 0.01, 10, 10, 900.0, is_cut_short=True)

    monkeypatch.setattr(speeds, "measure", measure)
    job = jobs.make_job(tmp_path)  # batches of eight
    for _ in range(2):
        assert speeds.Speeds(tmp_path / "cache", job).images_per_second(job, least=100.0) < 100.0
    assert heard == [pytest.approx(speeds.HOPELESS * 8 / 100)] * 2


def test_two_searches_at_once_keep_each_others_speeds(tmp_path, timed):
    job = jobs.make_job(tmp_path)
    one, two = (speeds.Speeds(tmp_path / "cache", job) for _ in range(2))
    assert one.images_per_second(job) == 100.0
    other = replace(job, model_digest="another")
    two._known()
    one.images_per_second(replace(job, model_digest="third"))
    two.images_per_second(other)
    later = speeds.Speeds(tmp_path / "cache", job)
    assert later.images_per_second(replace(job, model_digest="third")) == 200.0
    assert later.images_per_second(other) == 300.0
