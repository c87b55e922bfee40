"""Runs as tasks on a Ray cluster: a local one, or one that is joined.

This process alone writes into the study's folder. A run on a node sends what must outlive the node through
an actor beside this process (its *post office*), or writes it to a store. A node that is lost takes no more
than the training since its runs' last checkpoints with it: they start again from these on other nodes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.cores import usable_cores
from bakeoff.data.prepare import TaskData
from bakeoff.errors import ConfigError, ResourceError, StudyError
from bakeoff.records.atomic import writing
from bakeoff.study.engines.engine import Ears, Ended, Order
from bakeoff.study.engines.on_node import bring_images, do_run, load_freight
from bakeoff.study.engines.relay import pass_on
from bakeoff.study.engines.store import Store, open_store
from bakeoff.study.engines.worker import Said
from bakeoff.training.loop import Stopped
from bakeoff.training.machine import Machine
from bakeoff.training.parcel import DataKey, DataParcel, key_of, pack_data
from bakeoff.training.run import record_failure

ANSWER_SECONDS = 6.5  # in which a cluster must answer, so that a wrong address is told within ten
KNOCK_SECONDS = 3.0  # of these, for its port
LOOK_SECONDS = 0.2  # between two looks into the post office
BURIAL_SECONDS = 15.0  # in which a node must answer whose process has crashed
CHUNK_BYTES = 64_000_000  # of images that travel as one object
PATIENCE_SECONDS = 60.0  # for a node to say what it has
ATTEMPTS = 20  # of one run; a cluster that loses as many nodes under it is no cluster

_HINT = "to install it: pip install 'bakeoff[ray]'"


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
        self._ended: deque[Ended] = deque()
        self._stopping = False
        self._ours = False  # whether this engine has connected to Ray, and has to leave it
        self._room = (0.0, 0)  # when it was counted, and how many runs the nodes take

    # --- the context ---

    def __enter__(self) -> OnRay:
        ray = import_ray()
        if self._store is not None:
            open_store(self._store)
        if not ray.is_initialized():
            if self._address is not None:
                check_address(self._address)
            self._connect(ray)
        try:
            self._check_nodes(ray)
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

    def _check_nodes(self, ray: Any) -> None:
        """Refuse nodes that would compute something else, and a cluster on which no run fits."""
        nodes = _nodes(ray)
        if not sum(map(self._fitting, nodes)):
            needs = _words(self._needs())
            most = max((node["Resources"].get("CPU", 0) for node in nodes), default=0)
            raise ResourceError(
                f"--engine ray: no node has room for a run, which takes {needs}; the largest has {most:g} "
                "CPUs; expected fewer --threads or --processes, or larger nodes"
            )
        here = _looker()()
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
        answers = {}
        for name, reference in asked.items():
            try:
                answers[name] = ray.get(reference, timeout=PATIENCE_SECONDS)
            except ray.exceptions.NodeDiedError:  # lost meanwhile; its runs are started elsewhere
                continue
            except ray.exceptions.RayError as error:
                raise ResourceError(f"--engine ray: node {name}: {_one_line(error)}") from error
        return answers

    def _needs(self) -> dict[str, float]:
        """Say what a run takes of a node, as Ray writes it."""
        cpus = self._machine.threads * self._machine.processes
        return {"CPU": cpus, **({"GPU": 1} if self._machine.device.startswith("cuda") else {})}

    def _fitting(self, node: dict[str, Any]) -> int:
        """Count the runs that a node has room for."""
        return int(min(node["Resources"].get(kind, 0) // amount for kind, amount in self._needs().items()))

    # --- what every engine does ---

    @property
    def running(self) -> int:
        """Orders whose end was not told yet."""
        return len(self._flights) + len(self._ended)

    @property
    def has_room(self) -> bool:
        """Whether a node has room for another run."""
        counted, room = self._room
        if time.monotonic() - counted > 1:
            room = sum(map(self._fitting, _nodes(import_ray())))
            self._room = time.monotonic(), room
        return len(self._flights) < min(room, self._workers or room)

    def submit(self, order: Order) -> None:
        """Send a run to a node."""
        self._bring(order.job.data)
        self._send(_Flight(order))

    def wait(self, ears: Ears) -> Ended:
        """Pass on what the runs tell until one has ended."""
        ray = import_ray()
        while not self._ended:
            ready, _ = ray.wait(list(self._flights), timeout=LOOK_SECONDS) if self._flights else ([], [])
            self._take_post(ray, ears)
            for reference in ready:
                self._land(ray, reference, ears)
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
        said = self._ask_all(ray, _nodes(ray), bring_images, self._parcels[key], data.fingerprint, None)
        if "missing" in said.values():
            self._send_images(ray, key, data)

    def _send_images(self, ray: Any, key: DataKey, data: TaskData) -> None:
        """Put a task's pixels where nodes can fetch them, and have those that lack them do so."""
        chunks = [ray.put(chunk) for chunk in chunks_of(data.images_NHWC)]
        self._ask_all(ray, _nodes(ray), _bring_fetched, self._parcels[key], data.fingerprint, chunks)

    def _send(self, flight: _Flight) -> None:
        order, name = flight.order, _key(flight.order)
        freight = load_freight(order, self._store_of(order))
        self._by_name[name] = flight
        parcel = self._parcels[key_of(order.job.data)]
        reference = self._task.remote(freight, parcel, self._post, name, flight.attempt)
        self._flights[reference] = flight

    def _store_of(self, order: Order) -> Store | None:
        if self._store is None:
            return None
        place = order.folder.path.relative_to(self._study).as_posix()
        return Store(f"{self._store.rstrip('/')}/{place}")

    def _take_post(self, ray: Any, ears: Ears) -> None:
        """Hear what all runs have said since the last look."""
        for name, attempt, said in ray.get(self._post.take.remote()):
            flight = self._by_name.get(name)
            if flight is None or flight.attempt != attempt:
                continue  # of an attempt whose node was lost
            if said.kind == "started":
                flight.node = said.values
                self._announce(flight, ears)
            elif said.kind == "file":
                _store_file(flight.order, *said.values)
            elif said.kind == "line":
                ears.on_remark(f"{flight.order.job.name}: {said.values}")
            else:
                self._pass_on(said, name, flight, ears)

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
        del self._by_name[_key(flight.order)]
        if said.kind == "error":
            self._ended.append(Ended(flight.order, said.values))
            return
        self._ended.append(Ended(flight.order, self._unload(flight.order, said.values)))

    def _unload(self, order: Order, files: dict[str, bytes]) -> Any:
        """Write a run's files into the study's folder, its record last; return the record."""
        store = self._store_of(order)
        record = order.folder.record_path.name
        shutil.rmtree(order.folder.tensorboard_path, ignore_errors=True)  # of an earlier attempt
        for name in sorted(files, key=lambda name: name == record):
            _store_file(order, name, files[name] if store is None else store.get(name))
        found = order.folder.read()
        if found is None:
            return StudyError(f"{order.folder.path}: the node sent no record; the same command continues")
        order.folder.clear_unfinished(checkpoint=found.status != "failed")
        if store is not None and found.status != "failed":
            store.forget(order.folder.checkpoint_path.name)
        return found

    def _lost(self, ray: Any, flight: _Flight, error: Exception, ears: Ears) -> None:
        """Start a lost node's run again; record one that has crashed by itself."""
        exceptions = ray.exceptions
        # With a node go the results that lie on it and were not fetched yet.
        gone = exceptions.NodeDiedError, exceptions.ObjectLostError, exceptions.LocalRayletDiedError
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


class PostOffice:
    """Between runs on nodes and the study's process: news one way, wishes the other; an actor's class."""

    def __init__(self) -> None:
        self._news: list[tuple[str, int, Said]] = []
        self._wishes: dict[str, str] = {}

    def tell(self, name: str, attempt: int, said: Said) -> str:
        """Take news of a run; return what is wished of it."""
        self._news.append((name, attempt, said))
        return self._wishes.get(name) or self._wishes.get("", "")

    def take(self) -> list[tuple[str, int, Said]]:
        """Hand over all news since the last time."""
        news, self._news = self._news, []
        return news

    def wish(self, name: str, wish: str) -> None:
        """Keep a wish for a run, or for all under no name."""
        self._wishes[name] = wish


class _RayPost:
    """A run's way to the post office."""

    def __init__(self, office: Any, name: str, attempt: int) -> None:
        self._office, self._name, self._attempt = office, name, attempt

    def tell(self, said: Said) -> str:
        """Deliver news, and wait until they are there."""
        answer: str = import_ray().get(self._office.tell.remote(self._name, self._attempt, said))
        return answer


def _fly(freight: Any, parcel: DataParcel, office: Any, name: str, attempt: int) -> Said:
    """Do a run on a node; what a task of Ray calls."""
    ray = import_ray()
    post = _RayPost(office, name, attempt)
    post.tell(Said("started", ray.get_runtime_context().get_node_id()))
    return do_run(freight, parcel, post)


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
        for name in ("bakeoff", "torch", "numpy", "pillow"):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = None
        return found

    return look


def import_ray() -> Any:
    """Import Ray.

    Returns:
        The module.

    Raises:
        ResourceError: It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise ResourceError(f"--engine ray: Ray is not installed; {_HINT}") from None
    return ray


def check_address(address: str) -> None:
    """Refuse the address of a cluster that does not answer, within ten seconds.

    Ray itself asks for a minute, and then ends the process.

    Args:
        address: ``HOST:PORT`` or ``auto``.

    Raises:
        ConfigError: It is no address, or one that needs another way.
        ResourceError: Nobody answers, or somebody else.
    """
    if address.startswith("ray://"):
        raise ConfigError(
            f"--address: got '{address}', expected HOST:PORT of the head, from a machine of the cluster"
        )
    if address != "auto":
        _knock(address)
    program = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        answer = subprocess.run(
            program,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ResourceError(f"--address: {address} does not answer as a Ray cluster does") from None
    if answer.returncode:
        said = next((line for line in reversed(answer.stderr.splitlines()) if line.strip()), "")
        raise ResourceError(f"--address: {address} is no Ray cluster to work with: {said.strip()[:300]}")


def _knock(address: str) -> None:
    """See that somebody listens at an address."""
    import socket

    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"--address: got '{address}', expected HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except OSError as error:
        said = error.strerror or str(error) or type(error).__name__
        raise ResourceError(f"--address: nobody answers at {address} ({said})") from None
