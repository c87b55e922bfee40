"""The verbs as Python functions, and their typed results."""

import subprocess
import sys
from html import unescape

import layouts
import pytest
import small_study

import bakeoff
from bakeoff import api
from bakeoff.errors import ConfigError, DataError, StudyError, UnknownNameError
from bakeoff.study import Quiet, pick, single
from bakeoff.training.loop import Stopped


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    small_study.write(folder)
    return folder


@pytest.fixture(autouse=True)
def _here(base, monkeypatch):
    monkeypatch.chdir(base)  # a dict's relative paths start in the working folder


@pytest.fixture(scope="module")
def result(base):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        return bakeoff.run(small_study.study(seeds=[0, 1]), device="cpu", threads=1)


def _run(values, **options):
    return bakeoff.run(values, device="cpu", threads=1, report=False, **options)


@pytest.mark.parametrize("plan", [lambda *a, **k: api.plan_training("model1", *a, **k), api.plan_pick])
def test_a_first_look_into_an_archive_tells_how_far_it_is(plan, tmp_path, monkeypatch):
    class Ear(Quiet):
        def on_prepare(self, task, phase, done, total):
            heard.append((task, phase, 0 <= done <= total))

    heard = []
    monkeypatch.setattr(single, "seconds_per_image", lambda *_, **__: 0.01)
    monkeypatch.setattr(pick, "seconds_per_image", lambda *_, **__: 0.01, raising=False)
    plan(layouts.class_tar(tmp_path), cache_dir=tmp_path / "cache", listener=Ear(), device="cpu", threads=1)
    assert heard
    assert set(heard) == {("pets.tar.gz", "unpacking", True)}


def test_a_dict_is_run_and_its_page_written(result, base):
    assert result.path.resolve() == base / "studies" / "small"
    assert result.folder.report_path.read_text().startswith("<!DOCTYPE html>")
    assert [(r.candidate, r.seed) for r in result.records] == [
        ("plain", 0), ("plain", 1), ("dropout", 0), ("dropout", 1),
    ]  # fmt: skip


def test_a_file_is_the_same_study_and_starts_where_the_file_lies(result, base, tmp_path, monkeypatch):
    file, before = small_study.write(base, seeds=[0, 1]), result.records
    monkeypatch.chdir(tmp_path)
    again = bakeoff.run(file, out=base / "studies" / "small", device="cpu", threads=1, report=False)
    assert again.records == before
    assert list(tmp_path.iterdir()) == []


def test_rows_are_plain_values_one_a_run(result):
    rows = result.rows()
    assert [(row["candidate"], row["seed"]) for row in rows] == [
        (r.candidate, r.seed) for r in result.records
    ]
    assert [row["test_accuracy"] for row in rows] == [r.metrics["test_accuracy"] for r in result.records]


def test_the_table_names_every_candidate_within_its_width(result):
    table = result.table(width=90)
    assert "plain" in table
    assert "dropout" in table
    assert max(map(len, table.splitlines())) <= 90
    assert "\x1b" not in table  # no colours: it is text
    assert unescape(result._repr_html_()) == f"<pre>{result.table()}</pre>"


def test_the_best_run_is_the_best_on_validation(result):
    best = result.best()
    assert best == result.best("digits")
    assert best.metric("validation_accuracy") == max(r.metric("validation_accuracy") for r in result.records)


def test_the_best_of_an_unknown_task_is_refused(result):
    with pytest.raises(UnknownNameError, match="task: got 'digit'; did you mean 'digits'"):
        result.best("digit")


def test_the_best_of_several_tasks_wants_a_name_and_a_finished_run(base):
    task = small_study.study()["task"][0]
    values = small_study.study(
        name="two",
        task=[task, {**task, "name": "other"}],
        candidate=[{"name": "b", "model": "net.py:broken"}],
    )
    found = _run(values)
    with pytest.raises(ConfigError, match="task: the study has 2, expected one of digits, other"):
        found.best()
    with pytest.raises(DataError, match="task 'other': no run has finished"):
        found.best("other")


def test_the_report_is_written_again_from_records_alone(result):
    page = result.report().read_bytes()  # other tests here asked for this study in other words
    result.folder.report_path.unlink()
    assert result.report() == result.folder.report_path
    same = result.folder.report_path.read_bytes() == page
    assert same  # pytest's own comparison of two pages takes minutes
    without = result.report(images=False).read_text()
    assert len(without) < len(page)


def test_names_may_be_one_or_many(base):
    values = small_study.study(name="parts", recipe={"epochs": 1})
    assert [r.candidate for r in _run(values, only="dropout").records] == ["dropout"]
    assert [r.candidate for r in _run(values, only=["plain"], tasks="digits").records] == ["plain", "dropout"]


def test_a_listener_that_stops_raises_and_the_same_call_continues(base):
    class Stop(Quiet):
        def on_step(self, job, step):
            return step.steps == 3

    values = small_study.study(
        name="stopped", recipe={"epochs": 1}, candidate=small_study.study()["candidate"][:1]
    )
    with pytest.raises(Stopped):
        _run(values, listener=Stop())
    assert [(r.status, r.resumed) for r in _run(values).records] == [("finished", 1)]


def test_an_estimate_writes_nothing(base):
    before = small_study.contents(base)
    estimate = api.estimate(small_study.study(name="planned"), device="cpu", threads=1)
    assert [row.candidate for row in estimate.rows] == ["plain", "dropout"]
    assert small_study.contents(base) == before


def test_a_folder_without_a_study_cannot_be_opened(tmp_path):
    with pytest.raises(StudyError, match=r"holds no study: expected a file study\.lock in it"):
        bakeoff.open_study(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("/x", "data: got a path, but the study has the sources cifar10, digits; write NAME=PATH"),
        ({"svhn": "/x"}, "data: got 'svhn', expected one of the study's sources: cifar10, digits"),
    ],
)
def test_a_place_that_belongs_to_no_source_is_refused(data, message):
    task = small_study.study()["task"][0]
    values = small_study.study(task=[task, {"name": "photos", "data": "cifar10"}])
    with pytest.raises(ConfigError) as caught:
        _run(values, data=data)
    assert str(caught.value) == message


def _modules_after(code):
    command = f"import sys; {code}; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_bakeoff_imports_no_torch():
    assert _modules_after("import bakeoff; dir(bakeoff)") & {"torch", "numpy", "pydantic", "rich"} == set()
    loaded = _modules_after("import bakeoff; bakeoff.run; bakeoff.open_study; bakeoff.StudyResult")
    assert "bakeoff" in loaded
    assert loaded & {"torch", "torchvision", "timm"} == set()


def test_a_study_is_opened_and_its_page_written_without_torch(result):
    path = str(result.path.absolute())
    code = (
        f"import bakeoff; study = bakeoff.open_study({path!r}); study.table(); study.best(); study.report()"
    )
    assert _modules_after(code) & {"torch", "torchvision", "timm"} == set()


def test_a_name_that_bakeoff_lacks_is_an_attribute_error():
    assert set(dir(bakeoff)) >= {"run", "open_study", "BakeoffError"}
    with pytest.raises(AttributeError, match="module 'bakeoff' has no attribute 'rnu'"):
        bakeoff.rnu  # noqa: B018 - looking it up is the test
