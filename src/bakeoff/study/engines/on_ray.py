"""Runs as tasks on a Ray cluster: a local one, or one that is joined.

This process alone writes into the study's folder. A run on a node sends what must outlive the node through
an actor beside this process (its *post office*), or writes it to a store. A node that is lost takes no more
than the training since its runs' last checkpoints with it: they start again from these on other nodes.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.cores import usable_cores
from bakeoff.data.prepare import TaskData
from bakeoff.errors import ResourceError, StudyError
from bakeoff.records.atomic import writing
from bakeoff.study.engines.address import import_ray, knock
from bakeoff.study.engines.engine import Ears, Ended, Order
from bakeoff.study.engines.on_node import bring_images, do_run, load_freight
from bakeoff.study.engines.post import News, PostOffice, RayPost
from bakeoff.study.engines.relay import pass_on
from bakeoff.study.engines.store import BEGUN, Store, open_store
from bakeoff.study.engines.worker import Said
from bakeoff.training.loop import Stopped
from bakeoff.training.machine import Machine
from bakeoff.training.parcel import DataKey, DataParcel, key_of, pack_data
from bakeoff.training.run import record_failure

LOOK_SECONDS = 0.2  # between two looks into the post office
BURIAL_SECONDS = 15.0  # in which a node must answer whose process has crashed
CHUNK_BYTES = 64_000_000  # of images that travel as one object
PATIENCE_SECONDS = 60.0  # for all nodes to say what they have
GRACE_SECONDS = 60.0  # in which a cluster without room for a run may get it back, before the study ends
IDENTITY_DIGITS = 12  # of a run's identity, in the name of its folder in a store
ATTEMPTS = 20  # of one run; a cluster that loses as many nodes under it is no cluster


@dataclass
class _Flight:
    """A run that is on a node, or on its way."""

    order: Order
    attempt: int = 1
    node: str = ""  # its id, once the run has said where it is
    announced: bool = False


class OnRay:
    """Runs on a Ray cluster.

    Args:
        machine: As every run has it.
        address: Of a cluster's head, ``HOST:PORT`` or ``auto``; None starts a cluster on this machine.
        store: URL that receives what runs leave until they have ended; None is the study's folder.
        workers: Runs at once, at most; None is as many as the nodes have room for.
        study: The study's folder, below which every run's is.
    """

    def __init__(
        self, machine: Machine, *, address: str | None, store: str | None, workers: int | None, study: Path
    ) -> None:
        self._machine = machine
        self._address = address
        self._store = store
        self._workers = workers
        self._study = study
        self._flights: dict[Any, _Flight] = {}  # by the reference to what the task will return
        self._by_name: dict[str, _Flight] = {}
        self._parcels: dict[DataKey, Any] = {}  # references to what describes each task's images
        self._found: deque[tuple[_Flight, list[str]]] = deque()  # that had ended, and the files they left
        self._ended: deque[Ended] = deque()
        self._stopping = False
        self._ours = False  # whether this engine has connected to Ray, and has to leave it
        self._room = (0.0, 0)  # when it was counted, and how many runs the nodes take
        self._fitted = time.monotonic()  # when a node was last there on which a run fits

    # --- the context ---

    def __enter__(self) -> OnRay:
        ray = import_ray()
        if self._store is not None:
            open_store(self._store)
        if not ray.is_initialized():
            if self._address is not None:
                knock(self._address)
            with _own_sigterm():
                self._connect(ray)
        try:
            self._versions = _looker()()
            self._check_nodes(ray, _nodes(ray))
            beside = self._on(ray.get_runtime_context().get_node_id())
            office = ray.remote(num_cpus=0)(PostOffice)
            self._post = office.options(scheduling_strategy=beside).remote()
            needs = self._needs()
            task = ray.remote(num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_retries=0)
            self._task = task(_fly)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        ray = import_ray()
        for reference in self._flights:
            with suppress(ray.exceptions.RayError):
                ray.cancel(reference, force=True)
        self._flights.clear()
        if self._ours:
            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        own = {"num_cpus": usable_cores(), "include_dashboard": False} if self._address is None else {}
        try:
            ray.init(address=self._address or "local", log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            place = self._address or "a cluster on this machine"
            raise ResourceError(
                f"--engine ray: cannot use {place}: {' '.join(str(error).split())[:300]}"
            ) from error
        self._ours = True

    def _on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)

    # --- nodes ---

    def _check_nodes(self, ray: Any, nodes: list[dict[str, Any]]) -> None:
        """Refuse nodes that would compute something else, and a cluster on which no run fits."""
        if not sum(map(self._fitting, nodes)):
            needs = _words(self._needs())
            most = max((node["Resources"].get("CPU", 0) for node in nodes), default=0)
            raise ResourceError(
                f"--engine ray: no node has room for a run, which takes {needs}; the largest has {most:g} "
                "CPUs; expected fewer --threads or --processes, or larger nodes"
            )
        self._check_versions(ray, nodes)

    def _check_versions(self, ray: Any, nodes: list[dict[str, Any]]) -> None:
        """Refuse nodes on which other code would compute."""
        here = self._versions
        found = self._ask_all(ray, nodes, _looker())
        for node, there in found.items():
            differing = [name for name in here if there.get(name) != here[name]]
            for name in differing:
                what = f"has no {name}" if there.get(name) is None else f"has {name} {there[name]}"
                raise ResourceError(
                    f"--engine ray: node {node} {what}, expected {name} {here[name]} as on this machine: "
                    "runs are compared to the last bit"
                )

    def _ask_all(
        self, ray: Any, nodes: list[dict[str, Any]], question: Callable[..., Any], *arguments: Any
    ) -> dict[str, Any]:
        """Have every node answer a question; name the one that does not."""
        asked = {
            _name(node): ray.remote(num_cpus=0, max_retries=0)(question)
            .options(scheduling_strategy=self._on(node["NodeID"]))
            .remote(*arguments)
            for node in nodes
        }
        ids = {_name(node): node["NodeID"] for node in nodes}
        answers, errors = {}, ray.exceptions
        until = time.monotonic() + PATIENCE_SECONDS  # for all of them together
        for name, reference in asked.items():
            try:
                answers[name] = ray.get(reference, timeout=max(0.1, until - time.monotonic()))
            except errors.NodeDiedError:  # lost meanwhile; its runs are started elsewhere
                continue
            except (
                errors.TaskUnschedulableError,
                errors.GetTimeoutError,
                errors.WorkerCrashedError,
            ) as error:
                if not self._is_lost(ray, ids[name]):
                    raise ResourceError(f"--engine ray: node {name}: {_one_line(error)}") from error
            except errors.RayError as error:
                raise ResourceError(f"--engine ray: node {name}: {_one_line(error)}") from error
        return answers

    def _needs(self) -> dict[str, float]:
        """Say what a run takes of a node, as Ray writes it."""
        cpus = self._machine.threads * self._machine.processes
        cards = {"GPU": self._machine.processes} if self._machine.device.startswith("cuda") else {}
        return {"CPU": cpus, **cards}

    def _fitting(self, node: dict[str, Any]) -> int:
        """Count the runs that a node has room for."""
        return int(min(node["Resources"].get(kind, 0) // amount for kind, amount in self._needs().items()))

    # --- what every engine does ---

    @property
    def running(self) -> int:
        """Orders whose end was not told yet."""
        return len(self._flights) + len(self._found) + len(self._ended)

    @property
    def has_room(self) -> bool:
        """Whether a node has room for another run."""
        room = self._places()
        return len(self._flights) < min(room, self._workers or room)

    def _places(self) -> int:
        """Count the runs that the nodes take, once a second."""
        counted, room = self._room
        if time.monotonic() - counted > 1:
            room = sum(map(self._fitting, _nodes(import_ray())))
            self._room = time.monotonic(), room
        return room

    def submit(self, order: Order) -> None:
        """Send a run to a node, unless it has ended in the store and was not fetched from there."""
        store = self._store_of(order)
        left = [] if store is None else store.ended(order.job.identity)
        if left:
            self._found.append((_Flight(order), left))
            return
        self._bring(order.job.data)
        self._send(_Flight(order))

    def wait(self, ears: Ears) -> Ended:
        """Pass on what the runs tell until one has ended."""
        ray = import_ray()
        while self._found:
            flight, left = self._found.popleft()
            self._announce(flight, ears)
            self._ended.append(Ended(flight.order, self._unload(flight.order, dict.fromkeys(left, b""))))
        while not self._ended:
            ready, _ = ray.wait(list(self._flights), timeout=LOOK_SECONDS) if self._flights else ([], [])
            self._take_post(ray, ears)
            for reference in ready:
                self._land(ray, reference, ears)
            if ears.wants_stop:
                self.stop()
            self._take_back(ray)
        return self._ended.popleft()

    def stop(self) -> None:
        """Ask every run to stop after its step."""
        if not self._stopping:
            self._stopping = True
            self._post.wish.remote("", "stop")

    # --- a run's way ---

    def _bring(self, data: TaskData) -> None:
        """See that a task's images are on every node, once."""
        key = key_of(data)
        if key in self._parcels:
            return
        ray = import_ray()
        self._parcels[key] = ray.put(pack_data(data))
        nodes = _nodes(ray)
        said = self._ask_all(ray, nodes, bring_images, self._parcels[key], data.fingerprint, None)
        if "missing" in said.values():
            self._send_images(ray, nodes, data)

    def _send_images(self, ray: Any, nodes: list[dict[str, Any]], data: TaskData) -> None:
        """Put a task's pixels where nodes can fetch them, and have those that lack them do so."""
        chunks = [ray.put(chunk) for chunk in chunks_of(data.images_NHWC)]
        self._ask_all(ray, nodes, _bring_fetched, self._parcels[key_of(data)], data.fingerprint, chunks)

    def _prepare_late(self, ray: Any, node: str, data: TaskData) -> None:
        """Make a node ready that has joined since its likes were."""
        late = [one for one in _nodes(ray) if one["NodeID"] == node]
        if late:  # else it is gone again
            self._check_versions(ray, late)
            self._send_images(ray, late, data)

    def _send(self, flight: _Flight) -> None:
        order, name = flight.order, _key(flight.order)
        freight = load_freight(order, self._store_of(order))
        self._by_name[name] = flight
        parcel = self._parcels[key_of(order.job.data)]
        reference = self._task.remote(freight, parcel, self._post, name, flight.attempt, self._versions)
        self._flights[reference] = flight

    def _store_of(self, order: Order) -> Store | None:
        if self._store is None:
            return None
        place = order.folder.path.relative_to(self._study).as_posix()
        # What was asked for otherwise leaves its files elsewhere: nothing there is read by mistake.
        return Store(f"{self._store.rstrip('/')}/{place}/{order.job.identity[:IDENTITY_DIGITS]}")

    def _take_post(self, ray: Any, ears: Ears) -> None:
        """Hear what all runs have said since the last look; what they want to be kept, first."""
        try:
            taken: list[News] = ray.get(self._post.take.remote())
            letters = [(news, self._flight_of(news)) for news in taken]
            for news, flight in letters:
                if news.number and flight is not None:
                    _store_file(flight.order, *news.said.values)
            numbers = [news.number for news in taken if news.number]
            if numbers:  # also of attempts that are over, which would wait for ever
                ray.get(self._post.written.remote(numbers))
        except ray.exceptions.RayError as error:
            raise ResourceError(
                f"--engine ray: the cluster is out of reach: {_one_line(error)}; the same command continues"
            ) from error
        for news, flight in letters:
            if flight is not None and not news.number:
                self._hear(news, flight, ears)

    def _flight_of(self, news: News) -> _Flight | None:
        """Return the run that news are of; None for an attempt whose node was lost."""
        flight = self._by_name.get(news.name)
        return flight if flight is not None and flight.attempt == news.attempt else None

    def _hear(self, news: News, flight: _Flight, ears: Ears) -> None:
        """Take in one thing that a run has said."""
        said = news.said
        if said.kind == "started":
            flight.node = said.values
            self._announce(flight, ears)
        elif said.kind == "line":
            ears.on_remark(f"{flight.order.job.name}: {said.values}")
        else:
            self._pass_on(said, news.name, flight, ears)

    def _take_back(self, ray: Any) -> None:
        """End orders that no node has begun: when all is to stop, or no node that is left takes them."""
        now = time.monotonic()
        if self._places():
            self._fitted = now
        if not self._stopping and now - self._fitted <= GRACE_SECONDS:
            return
        for reference, flight in [*self._flights.items()]:
            if flight.node:
                continue
            del self._flights[reference]
            self._by_name.pop(_key(flight.order), None)
            ray.cancel(reference)
            no_room = "--engine ray: no node that is left has room for a run; the same command continues"
            self._ended.append(Ended(flight.order, Stopped() if self._stopping else ResourceError(no_room)))

    def _announce(self, flight: _Flight, ears: Ears) -> None:
        if flight.announced:
            return
        flight.announced = True
        try:
            ears.on_start(flight.order.job)
        except Stopped:
            self.stop()

    def _pass_on(self, said: Said, name: str, flight: _Flight, ears: Ears) -> None:
        try:
            if pass_on(said, flight.order, ears):
                self.stop()
        except Stopped:
            self.stop()
            self._post.wish.remote(name, "leave")

    def _land(self, ray: Any, reference: Any, ears: Ears) -> None:
        """Take what a run has left, or find out what became of it."""
        flight = self._flights.pop(reference)
        self._announce(flight, ears)
        try:
            said: Said = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._lost(ray, flight, error, ears)
            return
        if said.kind == "unready":
            if self._stopping:
                self._ended.append(Ended(flight.order, Stopped()))
                return
            self._prepare_late(ray, flight.node, flight.order.job.data)
            self._send(_Flight(flight.order, flight.attempt, announced=True))
            return
        del self._by_name[_key(flight.order)]
        if said.kind == "error":
            self._ended.append(Ended(flight.order, said.values))
            return
        self._ended.append(Ended(flight.order, self._unload(flight.order, said.values)))

    def _unload(self, order: Order, files: dict[str, bytes]) -> Any:
        """Make a run's folder what it was on the node, its record last; return the record."""
        store, folder = self._store_of(order), order.folder
        record = folder.record_path.name
        shutil.rmtree(folder.tensorboard_path, ignore_errors=True)  # of an earlier attempt
        for name in sorted(files, key=lambda name: name == record):
            if name == record:
                _remove_others(folder.path, files)
            _store_file(order, name, files[name] if store is None else store.get(name))
        found = order.folder.read()
        if found is None:
            return StudyError(f"{order.folder.path}: the node sent no record; the same command continues")
        order.folder.clear_unfinished(checkpoint=found.status != "failed")
        if store is not None and found.status != "failed":
            for name in BEGUN:
                if name not in files:
                    store.forget(name)
        return found

    def _lost(self, ray: Any, flight: _Flight, error: Exception, ears: Ears) -> None:
        """Start a lost node's run again; record one that has crashed by itself."""
        exceptions = ray.exceptions
        # With a node go the results that lie on it and were not fetched yet.
        gone = exceptions.NodeDiedError, exceptions.ObjectLostError
        node_is_lost = isinstance(error, gone) or (
            isinstance(error, exceptions.WorkerCrashedError) and self._is_lost(ray, flight.node)
        )
        if node_is_lost and self._stopping:
            self._ended.append(Ended(flight.order, Stopped()))
        elif node_is_lost and flight.attempt < ATTEMPTS:
            ears.on_remark(
                f"{flight.order.job.name}: its node was lost; it starts again from its last checkpoint"
            )
            self._room = 0.0, 0
            self._send(_Flight(flight.order, flight.attempt + 1, announced=True))
        elif isinstance(error, exceptions.RayTaskError):  # not of the run, which tells its own
            cause = getattr(error, "cause", None) or error
            said = " ".join(str(cause).split())[:300]
            self._ended.append(
                Ended(
                    flight.order, ResourceError(f"--engine ray: node {flight.node[:12] or 'unknown'}: {said}")
                )
            )
        else:
            reason = f"its process on the cluster has crashed ({type(error).__name__})"
            del self._by_name[_key(flight.order)]
            self._ended.append(
                Ended(flight.order, record_failure(flight.order.job, flight.order.folder, reason))
            )

    def _is_lost(self, ray: Any, node: str) -> bool:
        """Tell whether a node no longer answers; the cluster itself may take a quarter of a minute to see."""
        if not node:  # lost before the run had begun on it
            return True
        asked = ray.remote(num_cpus=0, max_retries=0)(_answer).options(scheduling_strategy=self._on(node))
        try:
            ray.get(asked.remote(), timeout=BURIAL_SECONDS)
        except (ray.exceptions.RayError, ValueError):  # the latter for a node that is no longer known
            return True
        return False


def _fly(
    freight: Any, parcel: DataParcel, office: Any, name: str, attempt: int, versions: dict[str, str | None]
) -> Said:
    """Do a run on a node; what a task of Ray calls. One that joined late is not ready for it."""
    ray = import_ray()
    post = RayPost(office, name, attempt)
    post.tell(Said("started", ray.get_runtime_context().get_node_id()))
    if _looker()() != versions or bring_images(parcel, freight.fingerprint, None) == "missing":
        return Said("unready", None)
    return do_run(freight, parcel, post)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's answer to SIGTERM, which Ray replaces by an end at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _answer() -> None:
    """Show that a node is there."""


def _bring_fetched(parcel: DataParcel, fingerprint: str, references: list[Any]) -> str:
    """Bring images to a node from the objects that hold their pixels, fetching one after the other."""
    ray = import_ray()
    return bring_images(parcel, fingerprint, (ray.get(reference) for reference in references))


def chunks_of(images_NHWC: np.ndarray) -> Iterator[bytes]:
    """Cut pixels into pieces that travel well, in order."""
    rows = max(1, CHUNK_BYTES // max(1, int(np.prod(images_NHWC.shape[1:]))))
    for start in range(0, len(images_NHWC), rows):
        yield np.ascontiguousarray(images_NHWC[start : start + rows]).tobytes()


def _store_file(order: Order, name: str, content: bytes) -> None:
    """Write a file of a run into the study's folder, whole or not at all."""
    with writing(order.folder.path / name) as partial:
        partial.write_bytes(content)


def _remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove what a run has removed on its node: a clock that has stopped, a trial that has ended."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in names:
            path.unlink(missing_ok=True)


def _key(order: Order) -> str:
    return order.job.name


def _nodes(ray: Any) -> list[dict[str, Any]]:
    """List the nodes that live and may compute."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]


def _name(node: dict[str, Any]) -> str:
    """Name a node for people: by its address, and its id where several share one."""
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _one_line(error: BaseException) -> str:
    """Say what went wrong; of an error on a node, its own words."""
    cause = getattr(error, "cause", None) or error
    return " ".join(str(cause).split())[:300] or type(cause).__name__


def _words(needs: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {kind}{'s' if amount != 1 else ''}" for kind, amount in needs.items())


def _looker() -> Callable[[], dict[str, str | None]]:
    """Return what looks at the packages of a machine; a node need not have bakeoff to run it."""

    def look() -> dict[str, str | None]:
        import platform as system
        from importlib import metadata

        found: dict[str, str | None] = {"python": ".".join(system.python_version_tuple()[:2])}
        for name in ("bakeoff", "torch", "torchvision", "timm", "numpy", "pillow"):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = None
        return found

    return look
