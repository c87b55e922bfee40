"""Training images that look like one, by what the last layer of the network is fed.

The index is a file beside the model, ``NAME.index.npz``, written only when it was asked for, since
it ships images: ``embeddings`` (T, F), ``labels`` (T,), and thumbnails as JPEG files, one behind the
other in ``thumbnails`` (bytes), each from ``offsets[t]`` to ``offsets[t + 1]``.

Shape letters: T training images, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError
from bakeoff.records.atomic import read_arrays

_ROWS = 8192  # that are compared at once, so that a large index needs no second copy in 32 bits


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training image that looks like another image."""

    label: int
    similarity: float  # cosine of the angle between both embeddings, at most 1
    thumbnail: bytes  # a JPEG file


class Index:
    """The embeddings and thumbnails of training images."""

    def __init__(
        self,
        embeddings_TF: NDArray[np.floating],
        labels_T: NDArray[np.integer],
        thumbnails: NDArray[np.uint8],
        offsets: NDArray[np.integer],
    ) -> None:
        self._embeddings_TF = embeddings_TF
        self._labels_T = labels_T
        self._thumbnails = thumbnails
        self._offsets = offsets

    @classmethod
    def beside(cls, model: Path) -> Index | None:
        """Open the index that lies beside a model.

        Args:
            model: The ``.onnx`` file.

        Returns:
            The index, None when there is none.

        Raises:
            ConfigError: The file is there and holds something else.
        """
        path = model.with_suffix(".index.npz")
        arrays = read_arrays(path, "an index of training images")
        if arrays is None:
            return None
        try:
            parts = [arrays[name] for name in ("embeddings", "labels", "thumbnails", "offsets")]
        except KeyError as error:
            raise ConfigError(f"{path}: has no {error}, expected an index of 'bakeoff export'") from None
        if not len(parts[0]) == len(parts[1]) == len(parts[3]) - 1:
            raise ConfigError(f"{path}: its parts are of different lengths")
        return cls(*parts)

    def __len__(self) -> int:
        return len(self._labels_T)

    def nearest(self, embedding_F: NDArray[np.float32], count: int) -> list[Neighbour]:
        """Find the training images that look most like one.

        Args:
            embedding_F: Of the image.
            count: How many; fewer when the index holds fewer.

        Returns:
            The nearest first; of equally near ones the earlier in the index.
        """
        cosines_T = np.concatenate([
            _cosines(self._embeddings_TF[start : start + _ROWS], embedding_F)
            for start in range(0, len(self), _ROWS)
        ])  # fmt: skip
        order = np.argsort(-cosines_T, kind="stable")[:count]
        return [
            Neighbour(
                int(self._labels_T[t]), float(cosines_T[t]),
                self._thumbnails[self._offsets[t] : self._offsets[t + 1]].tobytes(),
            )
            for t in order
        ]  # fmt: skip


def _cosines(rows_TF: NDArray[np.floating], one_F: NDArray[np.float32]) -> NDArray[np.float32]:
    wide_TF = rows_TF.astype(np.float32)
    lengths_T = np.linalg.norm(wide_TF, axis=1) * np.linalg.norm(one_F)
    found: NDArray[np.float32] = wide_TF @ one_F / np.maximum(lengths_T, 1e-12)
    return found
