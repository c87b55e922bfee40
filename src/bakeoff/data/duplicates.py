"""Images that are there twice: the very same file, or the same picture in another guise.

Found are copies that were encoded again, resized, made brighter, darker, paler or grey, and
mirrored ones. Not found, and not claimed: crops and shifts of more than a pixel or two,
turned images, other pictures of the same thing; and copies of a scene that a fifth or more of
all images show, as those of a fixed camera: what many images have in common does not count
(of noisy copies of one picture, 600 among 6,600 images were all found, 1,500 among 7,500 hardly,
3,000 among 9,000 not at all). All images are compared with all, in two steps: 63 numbers an
image find candidates, more numbers decide.

Shape letters: N images, P pairs, E and O as in `spectrum`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bakeoff.cores import usable_cores
from bakeoff.data.grey import grey
from bakeoff.data.source import Progress, silent
from bakeoff.data.spectrum import (
    Floats,
    Whitening,
    all_coefficients,
    coefficients,
    fit,
    sample_coefficients,
)

# Both chosen on Tiny ImageNet and CIFAR-10 (docs/findings.md): copies lie above with 99.5 %, of the pairs
# that lie above on either none was seen to be two different pictures.
ALIKE = 0.9  # likeness from which two images are near duplicates; 1 is a copy, 0 nothing in common
COARSE = 8  # frequencies on each side that find candidates
MOST_PARTNERS = 20  # images behind it, of each rank, that one image is paired with: the likest

_ROWS, _COLUMNS = 256, 1024  # of a block of likenesses: one megabyte, which stays in the cache
_PAIRS = 500  # verified at a time
_PENDING = 1_000_000  # candidates of a block of rows, after which only the likest are held on to

_Block = tuple[NDArray[np.int64], NDArray[np.int64], Floats]  # rows, columns, likeness: below 0 if mirrored

_NOTHING: _Block = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))


@dataclass(frozen=True, kw_only=True)
class NearPairs:
    """Pairs of near duplicates, in the order of the first image, then of the second."""

    first_P: NDArray[np.int64]
    second_P: NDArray[np.int64]  # above the first
    mirrored_P: NDArray[np.bool_]  # whether one is the other's mirror image
    likeness_P: Floats

    def __len__(self) -> int:
        return len(self.first_P)


def exact_groups(digests: Sequence[str]) -> list[list[int]]:
    """Group positions by equal digests; only groups of two and more, by their first position.

    >>> exact_groups(["a", "b", "a", "c", "b", "a"])
    [[0, 2, 5], [1, 4]]
    """
    places: dict[str, list[int]] = {}
    for position, digest in enumerate(digests):
        places.setdefault(digest, []).append(position)
    return [group for group in places.values() if len(group) > 1]


def fine(side: int) -> int:
    """Return the frequencies on each side that decide: fewer in small images, whose copies lose them.

    >>> fine(64), fine(32), fine(8)
    (16, 12, 8)
    """
    return min(side, 16, COARSE + side // 8)


def near_pairs(
    images_NHWC: NDArray[np.uint8],
    among: NDArray[np.int64] | None = None,
    *,
    rank_N: NDArray[np.int64] | None = None,
    alike: float = ALIKE,
    progress: Progress = silent,
) -> NearPairs:
    """Find all pairs of near duplicates.

    Args:
        images_NHWC: Square images; read in chunks, so they may be mapped from a disk.
        among: Sorted positions of the images to compare; None is all.
        rank_N: Of every image, small numbers; None is one rank. An image has its likest partners of each
            rank above its own, however many look like it.
        alike: Likeness from which a pair counts, above 0.
        progress: Told how many images are compared, as ``"looking for near duplicates"``.

    Returns:
        Pairs of positions in images_NHWC. An image without structure (blank, or nearly) is in
        none. Of an image's partners behind it, by rank and then by position, at most `MOST_PARTNERS`
        of each rank are returned.
    """
    among = np.arange(len(images_NHWC)) if among is None else among
    rank_N = np.zeros(len(images_NHWC), dtype=np.int64) if rank_N is None else rank_N
    among = among[np.argsort(rank_N[among], kind="stable")]
    side = images_NHWC.shape[1]
    sample_NVU = sample_coefficients(images_NHWC, fine(side))
    coarse, finer = fit(sample_NVU, min(COARSE, side)), fit(sample_NVU, fine(side))
    even_NE, odd_NO = coarse.apply(all_coefficients(images_NHWC, min(COARSE, side))[among])
    blocks = list(_candidates(even_NE, odd_NO, rank_N[among], alike, progress)) or [_NOTHING]
    rows_P, columns_P, coarse_P = (np.concatenate(values) for values in zip(*blocks, strict=True))
    first_P, second_P = among[rows_P], among[columns_P]
    first_P, second_P = np.minimum(first_P, second_P), np.maximum(first_P, second_P)
    mirrored_P = coarse_P < 0
    likeness_P = np.minimum(
        np.abs(coarse_P), _verified(images_NHWC, finer, first_P, second_P, mirrored_P)
    ).astype(np.float32)
    order = np.lexsort((second_P, first_P))
    kept = order[likeness_P[order] >= alike]
    return NearPairs(
        first_P=first_P[kept], second_P=second_P[kept], mirrored_P=mirrored_P[kept],
        likeness_P=likeness_P[kept],
    )  # fmt: skip


def _candidates(
    even_NE: Floats, odd_NO: Floats, rank_N: NDArray[np.int64], alike: float, progress: Progress
) -> Iterator[_Block]:
    """Yield the candidates of one block of rows after the other."""
    images = len(even_NE)
    starts = range(0, images, _ROWS)
    done = 0
    # NumPy computes without holding the interpreter. OpenBLAS's own threads would wait for each other in
    # products as small as these: 15 seconds of processor time in place of 1.4 for 24,000 images.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as pool:
        for found in pool.map(lambda start: _row_block(even_NE, odd_NO, rank_N, start, alike), starts):
            yield found
            # Of a triangle: the first rows are compared with all, the last with hardly any.
            done += 1
            left = 1 - done / len(starts)
            progress("looking for near duplicates", round(images * (1 - left * left)), images)


def _row_block(
    even_NE: Floats, odd_NO: Floats, rank_N: NDArray[np.int64], start: int, alike: float
) -> _Block:
    """Compare some images with all later ones."""
    images, stop = len(even_NE), min(start + _ROWS, len(even_NE))
    found, pending = [_NOTHING], 0
    for left in range(start, images, _COLUMNS):
        right = min(left + _COLUMNS, images)
        even_RC = even_NE[start:stop] @ even_NE[left:right].T
        odd_RC = odd_NO[start:stop] @ odd_NO[left:right].T
        best_RC = np.abs(odd_RC)
        best_RC += even_RC  # of the image and of its mirror image, whichever is more alike
        if best_RC.max() < alike:
            continue
        row_P, column_P = np.nonzero(best_RC >= alike)
        later = column_P + left > row_P + start
        row_P, column_P = row_P[later], column_P[later]
        likeness_P = np.where(odd_RC[row_P, column_P] < 0, -1, 1) * best_RC[row_P, column_P]
        found.append((row_P + start, column_P + left, likeness_P.astype(np.float32)))
        pending += len(row_P)
        if pending > _PENDING:
            found = [_likest(found, rank_N)]
            pending = len(found[0][0])
    return _likest(found, rank_N)


def _likest(found: Sequence[_Block], rank_N: NDArray[np.int64]) -> _Block:
    """Keep each row's likest partners only: ten thousand pictures of one scene are as many million pairs."""
    row_P, column_P, likeness_P = (np.concatenate(values) for values in zip(*found, strict=True))
    if not len(row_P):
        return _NOTHING
    group_P = row_P * (rank_N.max() + 1) + rank_N[column_P]
    order = np.lexsort((column_P, -np.abs(likeness_P), group_P))
    sorted_P = group_P[order]
    first_of_group = np.searchsorted(sorted_P, sorted_P, side="left")
    kept = order[np.arange(len(order)) - first_of_group < MOST_PARTNERS]
    return row_P[kept], column_P[kept], likeness_P[kept]


def _verified(
    images_NHWC: NDArray[np.uint8],
    finer: Whitening,
    first_P: NDArray[np.int64],
    second_P: NDArray[np.int64],
    mirrored_P: NDArray[np.bool_],
) -> Floats:
    """Compare candidates by their finer structure."""
    likeness = [np.zeros(0, dtype=np.float32)]
    for start in range(0, len(first_P), _PAIRS):
        part = slice(start, start + _PAIRS)
        even_PE, odd_PO = _whitened(images_NHWC, finer, first_P[part])
        others_PE, others_PO = _whitened(images_NHWC, finer, second_P[part])
        odd_P = (odd_PO * others_PO).sum(axis=1)
        likeness.append((even_PE * others_PE).sum(axis=1) + np.where(mirrored_P[part], -odd_P, odd_P))
    return np.concatenate(likeness)


def _whitened(
    images_NHWC: NDArray[np.uint8], finer: Whitening, index_P: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Read images by their positions, each once and in order, and whiten them."""
    unique, back = np.unique(index_P, return_inverse=True)
    even_NE, odd_NO = finer.apply(coefficients(grey(images_NHWC[unique]), finer.kept))
    return even_NE[back], odd_NO[back]
