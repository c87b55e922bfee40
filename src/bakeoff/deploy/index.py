"""Training images that look like a given one: an index beside an exported file. Opt-in: it ships images.

``NAME.index.npz`` holds, for at most `LARGEST` training images, as many of each class as can be:

    embeddings  float16 (M, F), of length one: what the last dense layer is fed
    labels      int16 (M,), positions in the file's class names
    keys        their names in the source
    thumbnails  uint8, all JPEG files one behind the other; offsets (M + 1,) says where each begins
    about       JSON: the identity of the run, and how many training images there were

Shape letters: N images, M images of the index, F features.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bakeoff.deploy.bundle import BATCH, Bundle
from bakeoff.errors import ConfigError
from bakeoff.records.atomic import read_arrays, write_arrays

LARGEST = 10_000  # images: 20 MB of thumbnails, and some milliseconds a question
THUMBNAIL = 64  # pixels of both sides, at most
QUALITY = 80  # of JPEG


@dataclass(frozen=True, slots=True)
class Similar:
    """One training image that looks like the one in question."""

    class_name: str
    key: str
    likeness: float  # cosine of the angle between embeddings, -1 to 1; higher is more alike
    thumbnail: bytes  # JPEG


class Index:
    """An index, opened; threads may share it."""

    def __init__(self, arrays: dict[str, NDArray[np.generic]], class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self.embeddings_MF = arrays["embeddings"].astype(np.float32)
        self.labels_M = arrays["labels"]
        self.keys_M = arrays["keys"]
        self._thumbnails = arrays["thumbnails"]
        self._offsets = arrays["offsets"]

    def __len__(self) -> int:
        return len(self.labels_M)

    @classmethod
    def open(cls, path: str | Path, bundle: Bundle) -> Index:
        """Open the index that lies beside an exported file.

        Args:
            path: The ``.index.npz``.
            bundle: The file that it belongs to.

        Returns:
            The index.

        Raises:
            ConfigError: There is none, or it is of another classifier.
            StudyError: It is damaged.
        """
        arrays = read_arrays(Path(path), "an index")
        if arrays is None:
            raise ConfigError(f"{path}: no such file; 'bakeoff export --index' writes one")
        missing = {"embeddings", "labels", "keys", "thumbnails", "offsets", "about"} - arrays.keys()
        if missing:
            raise ConfigError(f"{path}: is no index of bakeoff, {sorted(missing)[0]} is missing")
        try:
            about = dict(json.loads(str(arrays["about"])))
        except (ValueError, TypeError):
            raise ConfigError(f"{path}: is no index of bakeoff, it does not say whose it is") from None
        mine = (bundle.about.identity, bundle.about.quantized, (bundle.about.embedding,))
        if (about.get("identity"), about.get("quantized"), arrays["embeddings"].shape[-1:]) != mine:
            raise ConfigError(f"{path}: is the index of another classifier than {bundle.path}")
        if not _fits_together(arrays, len(bundle.class_names)):
            raise ConfigError(f"{path}: is damaged, its parts do not fit together")
        return cls(arrays, bundle.class_names)

    def nearest(self, embeddings_NF: NDArray[np.float32], k: int = 6) -> list[list[Similar]]:
        """Find the training images that look most like others.

        Args:
            embeddings_NF: As `Bundle.embeddings_of` gives them.
            k: How many for each.

        Returns:
            Training images for each, the most alike first.
        """
        likeness_NM = _of_length_one(embeddings_NF) @ self.embeddings_MF.T
        order_NK = np.argsort(-likeness_NM, axis=1, kind="stable")[:, :k]
        return [
            [self._similar(int(place), float(row_M[place])) for place in places]
            for row_M, places in zip(likeness_NM, order_NK, strict=True)
        ]

    def thumbnail(self, place: int) -> bytes:
        """Return one image of the index as a JPEG file."""
        start, end = int(self._offsets[place]), int(self._offsets[place + 1])
        return self._thumbnails[start:end].tobytes()

    def _similar(self, place: int, likeness: float) -> Similar:
        name = self.class_names[int(self.labels_M[place])]
        return Similar(name, str(self.keys_M[place]), likeness, self.thumbnail(place))


def _fits_together(arrays: dict[str, NDArray[np.generic]], classes: int) -> bool:
    """Tell whether every image of an index has a class, a name and a thumbnail."""
    labels_M, offsets, count = arrays["labels"], arrays["offsets"], len(arrays["embeddings"])
    numbered = labels_M.dtype.kind == offsets.dtype.kind == "i" and labels_M.ndim == offsets.ndim == 1
    return bool(
        numbered and len(labels_M) == len(arrays["keys"]) == len(offsets) - 1 == count
        and np.isin(labels_M, range(classes)).all()
        and offsets[0] == 0 and (np.diff(offsets) >= 0).all() and offsets[-1] == len(arrays["thumbnails"])
    )  # fmt: skip


def index_path(exported: Path) -> Path:
    """Name the index beside an exported file.

    >>> index_path(Path("leaves.onnx")).name
    'leaves.index.npz'
    """
    return exported.with_suffix(".index.npz")


def write_index(
    path: Path,
    bundle: Bundle,
    images_NHWC: NDArray[np.uint8],
    labels_N: NDArray[np.int64],
    keys: list[str],
    *,
    largest: int = LARGEST,
    tell: Callable[[str], None] = lambda what: None,
) -> int:
    """Write an index of training images.

    Args:
        path: The file to be.
        bundle: What computes the embeddings.
        images_NHWC: Training images, drawn.
        labels_N: Their classes.
        keys: Their names in the source.
        largest: How many images are taken, at most.
        tell: Hears what is being done.

    Returns:
        How many images it holds, and so ships.
    """
    chosen_M = evenly_by_class(labels_N, largest)
    tell(f"embedding {len(chosen_M):,} training images")
    parts, files = [], []
    for start in range(0, len(chosen_M), BATCH):
        some_NHWC = np.ascontiguousarray(images_NHWC[chosen_M[start : start + BATCH]])
        parts.append(_of_length_one(bundle.embeddings_of(some_NHWC)).astype(np.float16))
        files += [_jpeg(image_HWC) for image_HWC in some_NHWC]
    about = {
        "identity": bundle.about.identity,
        "quantized": bundle.about.quantized,
        "training_images": len(labels_N),
    }
    write_arrays(path, {
        "embeddings": np.concatenate(parts),
        "labels": labels_N[chosen_M].astype(np.int16),
        "keys": np.array([keys[place].encode("utf-8", "replace").decode("utf-8") for place in chosen_M]),
        "thumbnails": np.frombuffer(b"".join(files), dtype=np.uint8),
        "offsets": np.concatenate([[0], np.cumsum([len(file) for file in files])]).astype(np.int64),
        "about": np.array(json.dumps(about, sort_keys=True)),
    })  # fmt: skip
    return len(chosen_M)


def evenly_by_class(labels_N: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Choose images so that classes are alike as far as they have images; evenly spaced within a class.

    >>> evenly_by_class(np.array([0, 0, 0, 0, 1, 1]), 4).tolist()
    [0, 3, 4, 5]
    """
    if len(labels_N) <= most:
        return np.arange(len(labels_N))
    by_class = [np.flatnonzero(labels_N == label) for label in np.unique(labels_N)]
    share = _share([len(places) for places in by_class], most)
    chosen = [
        places[np.unique(np.linspace(0, len(places) - 1, min(share, len(places))).astype(np.int64))]
        for places in by_class
        if share
    ]
    return np.sort(np.concatenate(chosen))


def _share(counts: list[int], most: int) -> int:
    """Find the largest number that each class may give without exceeding the whole; one at least."""
    low, high = 1, max(counts)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(min(middle, n) for n in counts) <= most else (low, middle - 1)
    return low


def _of_length_one(values_NF: NDArray[np.float32]) -> NDArray[np.float32]:
    length_N1 = np.linalg.norm(values_NF, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = values_NF / np.maximum(length_N1, np.float32(1e-12))
    return scaled


def _jpeg(image_HWC: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(image_HWC)
    if image.width > THUMBNAIL:
        image = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
