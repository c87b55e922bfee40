"""Runs on a Ray cluster: the same bits as here, whatever becomes of a node; refusals in one line."""

import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
import small_study

from bakeoff.errors import BakeoffError, ConfigError, ResourceError
from bakeoff.homes import cache_home
from bakeoff.records import StudyFolder
from bakeoff.records.trials import TrialsFile
from bakeoff.study import EngineSettings, Quiet
from bakeoff.training.loop import Stopped
from bakeoff.training.parcel import Mapped

PLAIN, DROPOUT = small_study.study()["candidate"]


# Without Ray


def test_everything_is_imported_and_runs_where_there_is_no_ray(tmp_path):
    code = f"""
import sys
sys.modules["ray"] = sys.modules["fsspec"] = None
sys.path.insert(0, {str(Path(small_study.__file__).parent)!r})
import bakeoff.cli.main, small_study
from pathlib import Path
from bakeoff.study import EngineSettings
print(small_study.train(Path({str(tmp_path)!r})).trained)
try:
    small_study.train(Path({str(tmp_path)!r}), engine=EngineSettings(name="ray"))
except Exception as error:
    print(error)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-2:] == [
        "2", "--engine ray: Ray is not installed; in bakeoff's folder: pip install -e '.[ray]'",
    ]  # fmt: skip


@pytest.mark.parametrize("flag", ["address", "store"])
def test_what_belongs_to_a_cluster_is_refused_without_one(flag):
    with pytest.raises(ConfigError, match=f"--{flag}: got 'here:1', but runs are computed here; it needs"):
        EngineSettings(**{flag: "here:1"})


ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
from bakeoff.study.engines import address, on_ray  # noqa: E402  # behind the line above

# Ray's own modules warn of each other.
pytestmark = [pytest.mark.filterwarnings("ignore")]


# Addresses


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "--address: got 'nonsense', expected HOST:PORT or auto"),
        ("127.0.0.1:99999", "--address: got '127.0.0.1:99999', expected HOST:PORT or auto"),
        ("127.0.0.1:1", "--address: nobody answers at 127.0.0.1:1 (Connection refused)"),
        (
            "ray://127.0.0.1:10001",
            "--address: got 'ray://127.0.0.1:10001', expected HOST:PORT of the head, "
            "from a machine of the cluster",
        ),
    ],
)
def test_an_address_where_no_cluster_can_be_is_refused(address, message, tmp_path):
    with pytest.raises(BakeoffError) as refusal:
        small_study.train(tmp_path, engine=EngineSettings(name="ray", address=address))
    assert str(refusal.value) == message
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_somebody_who_listens_but_is_no_cluster_is_refused():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ResourceError, match=f"--address: {place} (is no Ray cluster|does not answer)"):
            address.check_address(place)
    assert address.KNOCK_SECONDS + address.ANSWER_SECONDS < 10


def test_a_store_of_a_kind_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--store: got 'sss://bucket': Protocol not known: sss"):
        small_study.train(tmp_path, engine=EngineSettings(name="ray", store="sss://bucket"))


# A cluster of three nodes


# A cluster sees within seconds that a node is lost, not within a minute
SOON_LOST = {
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 3, "raylet_rpc_server_reconnect_timeout_max_s": 2,
}  # fmt: skip


@pytest.fixture
def cluster(tmp_path):
    """Three nodes with one CPU and a cache each."""
    from ray.cluster_utils import Cluster

    caches = [tmp_path / f"cache-{number}" for number in range(3)]
    nodes = [
        {"num_cpus": 1, "object_store_memory": 100_000_000, "env_vars": {"BAKEOFF_CACHE": str(cache)}}
        for cache in caches
    ]
    head = {**nodes[0], "include_dashboard": False, "_system_config": SOON_LOST}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.caches, made.node = caches, nodes[0]
    made.others = [made.add_node(**node) for node in nodes[1:]]
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def nodes_see_no_cache_but_theirs(monkeypatch):
    """Have nodes that share a disk with this process behave as if they did not."""
    real = on_ray.pack_data

    def elsewhere(data):
        parcel = real(data)
        assert isinstance(parcel.images, Mapped)
        return replace(parcel, images=Mapped(Path("/nowhere/images.u8"), parcel.images.shape))

    monkeypatch.setattr(on_ray, "pack_data", elsewhere)


class Ear(Quiet):
    """Keeps what it hears, and asks at every step whether to lose a node."""

    def __init__(self, at_step):
        self.remarks, self.started, self.ended, self.steps = [], [], [], 0
        self._at_step = at_step

    def on_remark(self, text):
        self.remarks.append(text)

    def on_run_start(self, job):
        self.started.append(job.name)

    def on_step(self, job, step):
        self.steps += 1
        self._at_step(self, job, step)
        return False

    def on_run_end(self, job, record):
        self.ended.append(job.name)


@pytest.fixture
def engines(monkeypatch):
    """The engines that the test makes."""
    made, enter = [], on_ray.OnRay.__enter__

    def remember(engine):
        made.append(engine)
        return enter(engine)

    monkeypatch.setattr(on_ray.OnRay, "__enter__", remember)
    return made


def _on(cluster, **more):
    return EngineSettings(name="ray", address=cluster.address, **more)


SLOW = small_study.study(
    seeds=[0, 1, 2, 3],
    recipe={"epochs": 40},
    candidate=[
        {"name": "plain", "model": "net.py:slow_plain"},
        {"name": "dropout", "model": "net.py:slow_dropout"},
    ],
)
ON_PLAIN = [PLAIN, {"name": "on plain", "from": "plain", "train": "head"}]


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True], ids=["folder", "store"])
def test_a_study_that_loses_a_node_half_way_ends_complete_and_in_the_same_bits(
    cluster, engines, nodes_see_no_cache_but_theirs, tmp_path, monkeypatch, stored
):
    lost, doomed = [], cluster.others[0]

    def lose(ear, job, step):
        """Kill a node under a run that is on its way and has left a checkpoint."""
        flight = next(one for one in engines[0]._flights.values() if one.order.job is job)
        begun = stored or flight.order.folder.checkpoint_path.exists()
        on_its_way = len(ear.ended) >= 2 and begun and 0.2 < step.progress < 0.6
        if not lost and on_its_way and flight.node == doomed.node_id:
            lost.append(job.name)
            cluster.remove_node(doomed, allow_graceful=False)

    store = str(tmp_path / "bucket") if stored else None
    ear = Ear(lose)
    outcome = small_study.train(
        tmp_path / "ray", SLOW, engine=_on(cluster, store=store), listener=ear, checkpoint_seconds=0.5
    )
    assert len(outcome.records) == outcome.trained == 8
    assert {(record.status, record.reason) for record in outcome.records} == {("finished", None)}
    assert lost, "no run was on its way on the node that was to be lost"
    assert f"{lost[0]}: its node was lost; it starts again from its last checkpoint" in ear.remarks
    assert sorted(ear.started) == sorted(ear.ended)  # one that starts again is told once
    assert sum(record.resumed for record in outcome.records) >= 1
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the networks sleep; here they need not
    local = small_study.train(tmp_path / "local", SLOW)
    assert small_study.results(outcome.folder) == small_study.results(local.folder)
    brought = [list((cache / "images").glob("*.u8")) for cache in cluster.caches]
    assert [len(files) for files in brought] == [1, 1, 1]
    assert not list((tmp_path / "ray" / "out").rglob("checkpoint.pt"))
    if stored:
        assert len(list((tmp_path / "bucket").rglob("record.json"))) == 8
        assert not list((tmp_path / "bucket").rglob("checkpoint.pt"))


@pytest.mark.slow
def test_what_stands_on_a_run_finds_its_weights_on_any_node(cluster, tmp_path):
    values = small_study.study(seeds=[0, 1], candidate=ON_PLAIN)
    outcome = small_study.train(tmp_path / "ray", values, engine=_on(cluster, workers=2))
    local = small_study.train(tmp_path / "local", values)
    assert small_study.results(outcome.folder) == small_study.results(local.folder)
    assert [record.source["candidate"] for record in outcome.records[2:]] == ["plain", "plain"]


@pytest.mark.slow
def test_a_node_without_the_package_or_with_another_one_is_named(cluster, tmp_path, monkeypatch):
    real = on_ray._looker()

    def other():
        def look():
            import os

            found = real()
            return found | {"torch": None} if os.environ["BAKEOFF_CACHE"].endswith("cache-2") else found

        return look

    monkeypatch.setenv("BAKEOFF_CACHE", str(cache_home()))
    monkeypatch.setattr(on_ray, "_looker", other)
    with pytest.raises(
        ResourceError, match=r"--engine ray: node \S+ \(\w{8}\) has no torch, expected torch 2"
    ):
        small_study.train(tmp_path, engine=_on(cluster))
    assert not StudyFolder(tmp_path / "out").lock_path.exists()  # which would pin what was refused


@pytest.mark.slow
def test_a_node_that_cannot_take_the_images_is_named(cluster, nodes_see_no_cache_but_theirs, tmp_path):
    (cluster.caches[1]).write_text("no folder")
    with pytest.raises(ResourceError, match=r"--engine ray: node \S+ \(\w{8}\): cannot write .*cache-1"):
        small_study.train(tmp_path, engine=_on(cluster))


@pytest.mark.slow
def test_a_run_that_no_node_has_room_for_is_refused(cluster, tmp_path):
    with pytest.raises(
        ResourceError, match="no node has room for a run, which takes 3 CPUs; the largest has 1"
    ):
        small_study.train(tmp_path, threads=3, engine=_on(cluster))
    assert not StudyFolder(tmp_path / "out").lock_path.exists()
    assert small_study.train(tmp_path, threads=1, engine=_on(cluster)).trained == 2


@pytest.mark.slow
def test_a_node_that_joins_late_is_brought_what_it_lacks(
    cluster, engines, nodes_see_no_cache_but_theirs, tmp_path
):
    late, used = tmp_path / "late", set()

    def join(ear, job, step):
        if not hasattr(cluster, "late"):
            cluster.late = cluster.add_node(**cluster.node | {"env_vars": {"BAKEOFF_CACHE": str(late)}})
        used.update(flight.node for flight in engines[0]._flights.values())

    values = SLOW | {"seeds": list(range(8))}
    outcome = small_study.train(tmp_path / "ray", values, engine=_on(cluster), listener=Ear(join))
    assert {record.status for record in outcome.records} == {"finished"}
    assert cluster.late.node_id in used
    assert len(list((late / "images").glob("*.u8"))) == 1


@pytest.mark.slow
def test_what_waits_for_a_node_is_taken_back_when_all_is_to_stop_and_when_none_is_left(
    cluster, engines, tmp_path, monkeypatch
):
    @ray.remote(num_cpus=1)
    def somebody_else():
        time.sleep(600)

    class Waiting(Ear):
        wants_stop = False

    ray.init(cluster.address, log_to_driver=False)
    theirs = [somebody_else.remote() for _ in range(3)]
    time.sleep(5)
    ear = Waiting(lambda *told: None)
    Timer(5, lambda: setattr(ear, "wants_stop", True)).start()
    with pytest.raises(Stopped):
        small_study.train(tmp_path, engine=_on(cluster), listener=ear)
    assert (ear.started, ear.steps) == ([], 0)
    monkeypatch.setattr(on_ray, "GRACE_SECONDS", 3.0)
    Timer(5, lambda: [cluster.remove_node(node, allow_graceful=False) for node in cluster.others]).start()
    Timer(5, lambda: monkeypatch.setattr(on_ray, "_nodes", lambda ray: [])).start()
    with pytest.raises(ResourceError, match="no node that is left has room for a run; the same command"):
        small_study.train(tmp_path, engine=_on(cluster))
    del theirs


@pytest.mark.slow
def test_a_search_that_is_stopped_on_a_cluster_continues_to_the_same_trials(cluster, tmp_path):
    space = {"width": [16, 24], "stages": 2, "depth": [0, 1], "kernel": 3, "flip": "none"}
    search = {"name": "search", "search": {"budget": "24ep", "space": space}}
    values = small_study.study(candidate=[search])
    local = small_study.train(tmp_path / "local", values)

    class Stopping(Ear):
        def on_evaluation(self, job, split, done, total):
            self.stop = getattr(self, "stop", False) or (split.startswith("best") and done >= 2)

        def on_step(self, job, step):
            return getattr(self, "stop", False)

    with pytest.raises(Stopped):
        small_study.train(
            tmp_path / "ray", values, engine=_on(cluster), listener=Stopping(lambda *told: None),
            checkpoint_seconds=0.2,
        )  # fmt: skip
    folder = StudyFolder(tmp_path / "ray" / "out").run("digits", "search", 0)
    begun = TrialsFile(folder.trials_path).read()
    assert len(begun.trials) >= 2
    again = small_study.train(tmp_path / "ray", values, engine=_on(cluster))
    ended = TrialsFile(folder.trials_path).read()
    assert ended.trials[: len(begun.trials)] == begun.trials
    elsewhere = TrialsFile(local.folder.run("digits", "search", 0).trials_path).read()
    assert [trial.point for trial in ended.trials] == [trial.point for trial in elsewhere.trials]
    assert small_study.results(again.folder) == small_study.results(local.folder)
    assert not folder.trial_path.exists()
    assert not TrialsFile(folder.trials_path).clock_path.exists()
