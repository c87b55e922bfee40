"""What the server counts, in the text format that Prometheus reads.

Source of the format: "Text-based format", version 0.0.4, of the Prometheus documentation.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HELP: dict[str, tuple[str, str]] = {
    "bakeoff_requests_total": ("counter", "Requests answered, by address and status."),
    "bakeoff_refusals_total": ("counter", "Requests refused, by reason."),
    "bakeoff_request_seconds": ("histogram", "From a request's head to the end of its answer."),
    "bakeoff_images_total": ("counter", "Images answered, by model."),
    "bakeoff_batches_total": ("counter", "Batches computed."),
    "bakeoff_batch_images": ("histogram", "Images of a batch."),
    "bakeoff_inference_seconds_total": ("counter", "Time of the computing thread inside ONNX Runtime."),
    "bakeoff_inference_cpu_seconds_total": ("counter", "CPU of that thread there, without its helpers."),
    "bakeoff_decode_cpu_seconds_total": ("counter", "CPU of reading headers and decoding images."),
    "bakeoff_queue_images": ("gauge", "Images that are being decoded, wait or are computed."),
    "bakeoff_bytes_in_flight": ("gauge", "Bytes of bodies in memory."),
    "process_cpu_seconds_total": ("counter", "CPU of the whole process."),
    "process_resident_memory_bytes": ("gauge", "Memory of the process."),
}
_BOUNDS: dict[str, tuple[float, ...]] = {
    "bakeoff_request_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    "bakeoff_batch_images": (1, 2, 4, 8, 16, 32, 64),
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms; any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = defaultdict(float)
        self._buckets: dict[tuple[str, Labels], list[int]] = {}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter.

        Args:
            name: One of the known ones.
            amount: Not below zero.
            **labels: What tells it from others of its name.
        """
        with self._lock:
            self._counts[name, tuple(labels.items())] += amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram.

        Args:
            name: One of the known ones.
            value: In the histogram's unit.
            **labels: What tells it from others of its name.
        """
        key, bounds = (name, tuple(labels.items())), _BOUNDS[name]
        place = next((k for k, bound in enumerate(bounds) if value <= bound), len(bounds))
        with self._lock:
            self._buckets.setdefault(key, [0] * (len(bounds) + 1))[place] += 1
            self._counts[f"{name}_sum", key[1]] += value

    def text(self, **gauges: float) -> str:
        """Write everything down.

        Args:
            **gauges: What is true now, by name.

        Returns:
            Lines, of which every known metric has at least its description.
        """
        gauges = {**gauges, "process_resident_memory_bytes": resident_bytes()}
        with self._lock:
            counts, buckets = dict(self._counts), {key: list(found) for key, found in self._buckets.items()}
        counts["process_cpu_seconds_total", ()] = time.process_time()
        counts.update({(name, ()): value for name, value in gauges.items()})
        lines: list[str] = []
        for name, (kind, words) in _HELP.items():
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
            if kind == "histogram":
                for (_, labels), found in sorted(item for item in buckets.items() if item[0][0] == name):
                    lines += _histogram(name, labels, found, counts[f"{name}_sum", labels])
            else:
                lines += [
                    f"{name}{_labels(labels)} {_number(value)}"
                    for (own, labels), value in sorted(counts.items()) if own == name
                ]  # fmt: skip
        return "\n".join(lines) + "\n"


def resident_bytes() -> int:
    """Return the memory of this process in bytes, 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _histogram(name: str, labels: Labels, found: list[int], total: float) -> Iterable[str]:
    """Write a histogram: each bucket holds what the ones before it hold too."""
    so_far = 0
    for bound, count in zip([*map(_number, _BOUNDS[name]), "+Inf"], found, strict=True):
        so_far += count
        yield f"{name}_bucket{_labels((*labels, ('le', bound)))} {so_far}"
    yield f"{name}_sum{_labels(labels)} {_number(total)}"
    yield f"{name}_count{_labels(labels)} {so_far}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
