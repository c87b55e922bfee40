"""The server under load, on loopback only: is it right, does it hold, and what does it add?

    python -m benchmarks.serving [MODEL.onnx] [--seconds 60] [--clients 200] [--only load|cost|batches]

- load: many clients at once, a fifth of whose requests are hostile. No 5xx, every good answer right,
  memory as it was after the warm-up, overload answered with 429.
- cost: the server's CPU for a request of one image, outside of ONNX Runtime and of image decoding; with one
  computing thread, whose CPU is then all that ONNX Runtime takes.
- batches: images a second at 32 images a request, beside the bare model on pixels that are ready, in turns.

Without a model it makes two by hand: convolutional networks of 40 and 250 million multiplications an image.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.cores import usable_cores
from bakeoff.data.decode import load_image
from bakeoff.deploy.bundle import Bundle
from benchmarks._machine import spread, store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))

from onnx_models import network_model  # found through the line above
from pictures import bomb, noisy
from running import Running, form

PICTURES = 64  # different ones, each with an answer of its own
SIZE = 64  # pixels of their sides: JPEG files as those of Tiny ImageNet
HOSTILE = 0.2  # of all requests
WARM_UP = 5.0  # seconds before memory is looked at
SLOW = 5.0  # seconds after which the server gives a slow body up
QUEUE = 64  # images that may wait
TOLERANCE = 1e-5  # of a probability, between one batch and another
SEED = 7
WIDTHS = {"40 million": 64, "250 million": 160}  # multiplications an image, and filters of the first layer


@dataclass(frozen=True)
class Sent:
    """A request as bytes, and what should come back."""

    kind: str
    wire: bytes
    accepted: tuple[int, ...]  # statuses
    answer: tuple[float, ...] = ()  # the best probability of each image
    slow: bool = False


@dataclass
class Tally:
    """What came back."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: list[float] = field(default_factory=list)  # of good answers
    wrong: list[str] = field(default_factory=list)
    images: int = 0


def request(body: bytes, kind: str, *, announced: int | None = None) -> bytes:
    """Write a request to predict."""
    head = (
        f"POST /predict?top=1 HTTP/1.1\r\nhost: loopback\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body) if announced is None else announced}\r\n\r\n"
    )
    return head.encode() + body


def good_requests(bundle: Bundle, images: int) -> list[Sent]:
    """Write sound requests of so many images each, with the answers that the model itself gives."""
    files = [noisy(seed, (SIZE, SIZE)) for seed in range(PICTURES)]
    drawn = np.stack([load_image(file, bundle.about.image_size, bundle.about.fit) for file in files])
    best = bundle.probabilities_of(drawn).max(axis=1)
    found = []
    for first in range(PICTURES):
        chosen = [(first + k) % PICTURES for k in range(images)]
        body, kind = (
            (files[first], "image/jpeg") if images == 1 else form((f"{k}.jpg", files[k]) for k in chosen)
        )
        answer = tuple(float(best[k]) for k in chosen)
        found.append(Sent("good", request(body, kind), (200, 429), answer))
    return found


def hostile_requests() -> list[Sent]:
    """Write what nobody should send."""
    sound = noisy(0, (SIZE, SIZE))
    many, kind = form((f"{k}.jpg", sound) for k in range(100))
    return [
        Sent("truncated", request(sound[: len(sound) // 2], "image/jpeg"), (422, 429)),
        Sent("huge", request(b"x" * 65536, "image/jpeg", announced=50 * 2**20), (413,)),
        Sent("large", request(b"\xff\xd8" + bytes(2 * 2**20), "image/jpeg"), (422, 429, 408)),
        Sent("wrong type", request(b'{"image": 1}', "application/json"), (415,)),
        Sent("no image", request(b"dear diary", "image/png"), (415, 429)),
        Sent("50,000 x 50,000", request(bomb(50_000, 50_000, rows=50_000), "image/png"), (413, 429)),
        Sent("slow", request(sound[:10], "image/jpeg", announced=len(sound)), (408,), slow=True),
        Sent("100 files", request(many, kind), (413,)),
        Sent("empty", request(b"", "image/png"), (422,)),
    ]


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return int(head[9:12]), await reader.readexactly(int(length[1]) if length else 0)


async def client(port: int, until: float, choose: Any, tally: Tally) -> None:
    """Ask one request after the other, and check what comes."""
    reader = writer = None
    while time.monotonic() < until:
        sent: Sent = choose()
        started = time.perf_counter()
        try:
            if writer is None or sent.kind != "good":
                if writer is not None:
                    writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent.wire)
            await writer.drain()
            status, body = await asyncio.wait_for(answered(reader), 60)
        except (OSError, asyncio.IncompleteReadError):
            tally.statuses[sent.kind][0] += 1  # the connection ended without an answer
            writer = None
            continue
        check(sent, status, body, time.perf_counter() - started, tally)
        if sent.kind != "good":
            writer.close()
            writer = None
        if status == 429:
            await asyncio.sleep(0.2)
    if writer is not None:
        writer.close()


def check(sent: Sent, status: int, body: bytes, seconds: float, tally: Tally) -> None:
    """Hold an answer against what it should be."""
    tally.statuses[sent.kind][status] += 1
    if status not in sent.accepted:
        tally.wrong.append(f"{sent.kind}: {status} {body[:200]!r}")
    if status == 200:
        found = [image["classes"][0]["probability"] for image in json.loads(body)["images"]]
        if not np.allclose(found, sent.answer, atol=TOLERANCE, rtol=0):
            tally.wrong.append(f"{sent.kind}: {found} instead of {sent.answer}")
        tally.seconds.append(seconds)
        tally.images += len(found)


def run_clients(
    port: int, clients: int, seconds: float, choose: Any, more: Any = None
) -> tuple[Tally, float]:
    """Let clients ask for a while; return what came back, and how long it took."""
    tally = Tally()

    async def all_of_them() -> None:
        until = time.monotonic() + seconds
        tasks = [client(port, until, choose, tally) for _ in range(clients)]
        await asyncio.gather(*tasks, *([more(until)] if more else []))

    started = time.perf_counter()
    asyncio.run(all_of_them())
    return tally, time.perf_counter() - started


def counters(server: Running) -> dict[str, float]:
    """Read the server's own counters, summed over their labels."""
    found: dict[str, float] = defaultdict(float)
    for line in server.get("/metrics").body.decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name.split("{")[0]] += float(value)
    return found


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share lies, 0 without values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def load(model: Path, bundle: Bundle, clients: int, seconds: float) -> dict[str, Any]:
    """Put the server under load, a fifth of it hostile."""
    good, hostile = good_requests(bundle, 1), hostile_requests()
    chance = random.Random(SEED)  # of what is asked; no number of the model depends on it
    memory: list[tuple[float, int]] = []

    def choose() -> Sent:
        return chance.choice(hostile if chance.random() < HOSTILE else good)

    with Running(model, "--max-queue", str(QUEUE), "--timeout", str(SLOW)) as server:

        async def watch(until: float) -> None:
            started = time.monotonic()
            while time.monotonic() < until:
                pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
                memory.append((time.monotonic() - started, pages * 4096))
                await asyncio.sleep(0.5)

        tally, took = run_clients(server.port, clients, seconds, choose, watch)
        after = counters(server)
        code = server.stop()
        errors = server.log()
    warm = [size for at, size in memory if at >= WARM_UP]
    early, late = warm[: max(1, len(warm) // 4)], warm[-max(1, len(warm) // 4) :]
    statuses = {kind: dict(sorted(found.items())) for kind, found in sorted(tally.statuses.items())}
    return {
        "clients": clients, "seconds": took, "statuses": statuses, "wrong": tally.wrong[:20],
        "requests": sum(sum(found.values()) for found in tally.statuses.values()),
        "answers_5xx": sum(n for found in tally.statuses.values() for s, n in found.items() if s >= 500),
        "answers_429": sum(found[429] for found in tally.statuses.values()),
        "good": len(tally.seconds), "good_per_second": len(tally.seconds) / took,
        "p50_s": percentile(tally.seconds, 0.5), "p99_s": percentile(tally.seconds, 0.99),
        "memory_mib": {
            "early": statistics.median(early) / 2**20, "late": statistics.median(late) / 2**20,
            "peak": max(size for _, size in memory) / 2**20,
            "every_5_s": [round(size / 2**20, 1) for _, size in memory[::10]],
        },
        "images_per_batch": after["bakeoff_batch_images_sum"] / max(1, after["bakeoff_batches_total"]),
        "exit_code": code, "log": errors[:2000],
    }  # fmt: skip


def cost(model: Path, bundle: Bundle, seconds: float, clients: int) -> dict[str, Any]:
    """Count the server's CPU for a request of one image, outside of inference and decoding."""
    good = good_requests(bundle, 1)
    chance = random.Random(SEED)
    with Running(model, "--threads", "1") as server:
        run_clients(server.port, clients, 1.0, lambda: chance.choice(good))
        before = counters(server)
        tally, took = run_clients(server.port, clients, seconds, lambda: chance.choice(good))
        after = counters(server)
    spent = {
        name: (after[f"{name}_cpu_seconds_total"] - before[f"{name}_cpu_seconds_total"]) / len(tally.seconds)
        for name in ("process", "bakeoff_inference", "bakeoff_decode")
    }
    return {
        "clients": clients, "requests": len(tally.seconds), "per_second": len(tally.seconds) / took,
        "cpu_ms": {name.removeprefix("bakeoff_"): 1000 * value for name, value in spent.items()},
        "added_cpu_ms": 1000 * (spent["process"] - spent["bakeoff_inference"] - spent["bakeoff_decode"]),
        "wrong": tally.wrong[:20],
    }  # fmt: skip


def batches(model: Path, bundle: Bundle, turns: int, seconds: float) -> dict[str, Any]:
    """Compare images a second at 32 a request with those of the bare model, in turns.

    On a machine that others use too, how many cores each of them got decides the rate; what was
    spent on an image does not depend on it as much, so both are counted.
    """
    good = good_requests(bundle, 32)
    chance = random.Random(SEED)
    size = bundle.about.image_size
    pixels = np.random.default_rng(SEED).integers(0, 256, (32, size, size, 3), np.uint8)
    found: dict[str, list[float]] = defaultdict(list)
    wrong: list[str] = []
    with Running(model) as server:
        run_clients(server.port, 4, 1.0, lambda: chance.choice(good))
        for _ in range(turns):
            started, spent, images = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - started < seconds:
                images += len(bundle.probabilities_of(pixels))
            found["bare_images_per_second"].append(images / (time.perf_counter() - started))
            found["bare_cpu_ms"].append(1000 * (time.process_time() - spent) / images)
            before = counters(server)
            tally, took = run_clients(server.port, 4, seconds, lambda: chance.choice(good))
            after = counters(server)
            found["served_images_per_second"].append(tally.images / took)
            for name in ("process", "bakeoff_decode"):
                key = f"{name}_cpu_seconds_total"
                part = name.replace("process", "served").removeprefix("bakeoff_")
                found[f"{part}_cpu_ms"].append(1000 * (after[key] - before[key]) / tally.images)
            wrong += tally.wrong
    rows = {name: list(values) for name, values in found.items()}
    pairs = {
        "ratios": zip(rows["served_images_per_second"], rows["bare_images_per_second"], strict=True),
        "cpu_ratios": zip(rows["bare_cpu_ms"], rows["served_cpu_ms"], strict=True),
    }
    ratios = {name: [above / below for above, below in values] for name, values in pairs.items()}
    return {"turns": turns, **rows, **ratios, "wrong": wrong[:20]}


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--only", choices=["load", "cost", "batches"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = (
            {chosen.model.stem: chosen.model}
            if chosen.model
            else {
                name: network_model(Path(folder) / f"{width}.onnx", size=SIZE, width=width)
                for name, width in WIDTHS.items()
            }
        )
        model = next(iter(models.values()))
        bundle = Bundle.open(model, threads=usable_cores())
        found: dict[str, Any] = {"model": bundle.about.name}
        if chosen.only in (None, "cost"):
            found["cost"] = [cost(model, bundle, min(10.0, chosen.seconds), n) for n in (1, 8)]
            for row in found["cost"]:
                print(f"cost, {row['clients']} clients: {row['added_cpu_ms']:.2f} ms added a request")
                print(f"  {row['cpu_ms']}")
        if chosen.only in (None, "batches"):
            found["batches"] = {}
            for name, path in models.items():
                opened = Bundle.open(path, threads=usable_cores())
                row = found["batches"][name] = batches(path, opened, chosen.turns, min(5.0, chosen.seconds))
                print(f"batches, {name}: {spread(row['ratios'])} of the bare model's images/s")
                for part in ("bare_images_per_second", "served_images_per_second", "cpu_ratios",
                             "bare_cpu_ms", "served_cpu_ms", "decode_cpu_ms"):  # fmt: skip
                    print(f"  {part}: {spread(row[part])}")
        if chosen.only in (None, "load"):
            found["load"] = load(model, bundle, chosen.clients, chosen.seconds)
            print(json.dumps(found["load"], indent=1))
    if chosen.only is None:
        store("serving", found)


if __name__ == "__main__":
    main()
