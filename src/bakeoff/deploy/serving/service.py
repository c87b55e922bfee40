"""The models that are served, and what is done with an image that was sent to one of them.

Shape letters: N images, H rows, W columns, C channels, K classes, F features, P places.
"""

from __future__ import annotations

import asyncio
import io
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.cores import usable_cores
from bakeoff.deploy.bundle import Bundle
from bakeoff.deploy.index import Index, index_path
from bakeoff.deploy.serving.batching import LARGEST, BatchCost, Batcher
from bakeoff.deploy.serving.drawing import LARGE, draw, opened, pixels_of
from bakeoff.deploy.serving.heat import Grid, covered, heat_map
from bakeoff.deploy.serving.limits import Limits
from bakeoff.deploy.serving.metrics import Metrics
from bakeoff.deploy.serving.refusals import Refusal
from bakeoff.deploy.serving.uploads import Budget, Upload
from bakeoff.errors import ConfigError, nearest

NEIGHBOURS = 8  # training images that are shown

_STEP = 32  # covered images that are computed at once, so that others need not wait long
_DIGITS = 6  # of a probability

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """A model under the name that clients call it by."""

    name: str
    bundle: Bundle
    index: Index | None

    @property
    def embeds(self) -> str:
        """Name the work of computing embeddings."""
        return f"{self.name} embedding"


class Service:
    """Decodes, computes and answers; made inside the event loop's process, closed at its end."""

    def __init__(self, bundles: Sequence[Bundle], limits: Limits) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self.budget = Budget(limits.bytes_in_flight)
        self.models = name_models(bundles)
        self._first = next(iter(self.models))
        works: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.float32]]] = {}
        for served in self.models.values():
            works[served.name] = served.bundle.probabilities_of
            works[served.embeds] = served.bundle.embeddings_of
        self.batcher = Batcher(works, max_queue=limits.max_queue, listener=self._count_batch)
        self._threads = usable_cores()
        self._pool = ThreadPoolExecutor(self._threads, "bakeoff-decode")
        # Large images are decoded one at a time: two at once could double the memory, and small ones pass.
        self._slow_lane = ThreadPoolExecutor(1, "bakeoff-decode-large")

    def warm_up(self) -> None:
        """Compute the largest batch of every model once: what memory that takes is taken now.

        Raises:
            ConfigError: A model's answer has not as many classes as its file says.
        """
        for served in self.models.values():
            about = served.bundle.about
            images_NHWC = np.zeros((LARGEST, about.image_size, about.image_size, 3), np.uint8)
            rows_NK = served.bundle.probabilities_of(images_NHWC)
            if rows_NK.shape != (LARGEST, len(about.class_names)):
                raise ConfigError(
                    f"{served.bundle.path}: answers with shape {rows_NK.shape} for {LARGEST} images, "
                    f"expected {len(about.class_names)} classes for each"
                )

    def close(self) -> None:
        """Finish what is waiting, and end the threads."""
        self._pool.shutdown()
        self._slow_lane.shutdown()
        self.batcher.close()

    def model(self, name: str | None) -> Served:
        """Find a model.

        Args:
            name: As clients call it; None takes the first.

        Returns:
            The model.

        Raises:
            Refusal: There is none of this name.
        """
        found = self.models.get(self._first if name is None else name)
        if found is None:
            raise Refusal("unknown_model", f"model: got '{name}'{nearest(name or '', self.models)}"[:300])
        return found

    async def predict(self, served: Served, uploads: Sequence[Upload], top: int) -> dict[str, Any]:
        """Name the likeliest classes of images.

        Args:
            served: The model.
            uploads: At least one file.
            top: Classes that are named.

        Returns:
            Plain values, as `answers.PredictAnswer` describes them.

        Raises:
            Refusal: A file is no image that is accepted, or too much is waiting.
        """
        with self.batcher.admission(len(uploads)) as room:
            images_NHWC = await self._draw(served, uploads)
            rows_NK = await self.batcher.compute(served.name, images_NHWC, room)
        self.metrics.add("bakeoff_images_total", len(uploads), model=served.name)
        answers = [
            {"file": upload.name, "classes": _likeliest(served, row_K, top)}
            for upload, row_K in zip(uploads, rows_NK, strict=True)
        ]
        return {"model": served.name, "images": answers}

    async def explain(self, served: Served, upload: Upload, label: str | None) -> dict[str, Any]:
        """See how far a class's probability falls when a part of an image is covered.

        Args:
            served: The model.
            upload: The file.
            label: The class, by its id or name; None takes the likeliest.

        Returns:
            Plain values, as `answers.ExplainAnswer` describes them.

        Raises:
            Refusal: As for `predict`, or there is no such class.
        """
        wanted = None if label is None else _class_of(served, label)
        with self.batcher.admission(min(_STEP, self.limits.max_queue)) as room:
            image_HWC = (await self._draw(served, [upload]))[0]
            row_K = (await self.batcher.compute(served.name, image_HWC[None], room))[0]
            k = int(row_K.argmax()) if wanted is None else wanted
            grid = Grid.over(len(image_HWC))
            images_PHWC = await self._in_pool(covered, image_HWC, grid)
            covered_P = np.concatenate([
                (await self.batcher.compute(served.name, images_PHWC[start : start + _STEP], room))[:, k]
                for start in range(0, len(images_PHWC), _STEP)
            ])  # fmt: skip
        drops_GG = heat_map(float(row_K[k]), covered_P, grid)
        self.metrics.add("bakeoff_images_total", 1, model=served.name)
        return {
            "model": served.name, "file": upload.name, "label": _class(served, k, row_K[k]),
            "drops": (np.round(drops_GG, _DIGITS) + 0.0).tolist(), "image": _png(image_HWC),
        }  # fmt: skip

    async def similar(self, served: Served, upload: Upload, count: int) -> dict[str, Any]:
        """Find the training images that look most like an image.

        Args:
            served: The model.
            upload: The file.
            count: How many.

        Returns:
            Plain values, as `answers.SimilarAnswer` describes them.

        Raises:
            Refusal: As for `predict`, or there is no index.
        """
        if served.index is None:
            raise Refusal("no_index", f"model '{served.name}': has no index, see bakeoff export --index")
        with self.batcher.admission(1) as room:
            images_NHWC = await self._draw(served, [upload])
            embeddings_NF = await self.batcher.compute(served.embeds, images_NHWC, room)
        found = (await self._in_pool(served.index.nearest, embeddings_NF, count))[0]
        images = [
            {
                "label": one.class_name,
                "key": one.key,
                "likeness": round(one.likeness, _DIGITS),
                "thumbnail": "data:image/jpeg;base64," + b64encode(one.thumbnail).decode("ascii"),
            }
            for one in found
        ]
        return {"model": served.name, "file": upload.name, "images": images}

    def describe(self) -> list[dict[str, Any]]:
        """Say what is served, as `answers.ModelsAnswer` describes it."""
        return [_described(served) for served in self.models.values()]

    def metrics_text(self) -> str:
        """Write down what was counted."""
        return self.metrics.text(
            bakeoff_queue_images=self.batcher.admitted, bakeoff_bytes_in_flight=self.budget.taken
        )

    async def _draw(self, served: Served, uploads: Sequence[Upload]) -> NDArray[np.uint8]:
        """Draw all images of a request; large ones wait for each other, small ones for nobody."""
        if len(uploads) == 1:
            images = await self._in_pool(self._draw_small, served, uploads)
        else:
            shares = [uploads[k :: self._threads] for k in range(min(self._threads, len(uploads)))]
            parts = await asyncio.gather(
                *(self._in_pool(self._draw_small, served, share) for share in shares)
            )
            images = [parts[k % self._threads][k // self._threads] for k in range(len(uploads))]
        loop = asyncio.get_running_loop()
        drawn = [
            await loop.run_in_executor(self._slow_lane, self._draw_one, served, upload, image)
            if isinstance(image, Image.Image) else image
            for upload, image in zip(uploads, images, strict=True)
        ]  # fmt: skip
        return np.stack(drawn)

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def _draw_small(self, served: Served, uploads: Sequence[Upload]) -> list[NDArray[np.uint8] | Image.Image]:
        """Check headers and draw; a large image is only opened."""
        with self._counted_decoding():
            about = served.bundle.about
            opened_images = ((upload, opened(upload, self.limits)) for upload in uploads)
            return [
                image if pixels_of(image) > LARGE else draw(image, upload, about.image_size, about.fit)
                for upload, image in opened_images
            ]

    def _draw_one(self, served: Served, upload: Upload, image: Image.Image) -> NDArray[np.uint8]:
        with self._counted_decoding():
            return draw(image, upload, served.bundle.about.image_size, served.bundle.about.fit)

    @contextmanager
    def _counted_decoding(self) -> Iterator[None]:
        started = time.thread_time()
        try:
            yield
        finally:
            self.metrics.add("bakeoff_decode_cpu_seconds_total", time.thread_time() - started)

    def _count_batch(self, cost: BatchCost) -> None:
        self.metrics.add("bakeoff_batches_total")
        self.metrics.observe("bakeoff_batch_images", cost.images)
        self.metrics.add("bakeoff_inference_seconds_total", cost.seconds)
        self.metrics.add("bakeoff_inference_cpu_seconds_total", cost.cpu_seconds)


def name_models(bundles: Sequence[Bundle]) -> dict[str, Served]:
    """Give every model the name that clients call it by: its own, or its file's where two share one.

    Args:
        bundles: At least one.

    Returns:
        The models by name, in their order, each with the index that lies beside it.

    Raises:
        ConfigError: Two have the same name and their files have too.
    """
    own = [bundle.about.name for bundle in bundles]
    served: dict[str, Served] = {}
    for bundle in bundles:
        shared = own.count(bundle.about.name) > 1
        name = bundle.path.stem if shared else bundle.about.name
        if name in served:
            raise ConfigError(f"{bundle.path}: another model is called '{name}', rename one of the files")
        beside = index_path(bundle.path)
        served[name] = Served(name, bundle, Index.open(beside, bundle) if beside.exists() else None)
    return served


def _likeliest(served: Served, row_K: NDArray[np.float32], top: int) -> list[dict[str, Any]]:
    """Name the likeliest classes; of equally likely ones the first in the model's order."""
    return [_class(served, int(k), row_K[k]) for k in np.argsort(-row_K, kind="stable")[:top]]


def _class(served: Served, k: int, probability: np.float32) -> dict[str, Any]:
    about = served.bundle.about
    within = min(1.0, max(0.0, float(probability)))  # a softmax in 32 bits may end a hair above one
    return {"id": about.class_ids[k], "name": about.class_names[k], "probability": round(within, _DIGITS)}


def _class_of(served: Served, label: str) -> int:
    """Find a class by its id, or by its name."""
    about = served.bundle.about
    for names in (about.class_ids, about.class_names):
        if label in names:
            return names.index(label)
    known = nearest(label, about.class_ids + about.class_names)
    raise Refusal("unknown_class", f"label: got '{label}'{known}"[:300])


def _described(served: Served) -> dict[str, Any]:
    about = served.bundle.about
    return {
        "name": served.name, "study": about.study, "task": about.task, "candidate": about.candidate,
        "seed": about.seed, "image_size": about.image_size, "fit": about.fit,
        "accuracy": about.accuracy, "similar": served.index is not None,
        "classes": [
            {"id": own, "name": name} for own, name in zip(about.class_ids, about.class_names, strict=True)
        ],
    }  # fmt: skip


def _png(image_HWC: NDArray[np.uint8]) -> str:
    """Write pixels as the data URL of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return "data:image/png;base64," + b64encode(file.getvalue()).decode("ascii")
