from __future__ import annotations

import numpy as np
import pytest
from scenes import encoded_again, scene

from bakeoff.data import duplicates
from bakeoff.data.duplicates import exact_groups, near_pairs


def found(images: list[np.ndarray], **options: object) -> dict[tuple[int, int], bool]:
    """Find the pairs, each with whether it is mirrored."""
    pairs = near_pairs(np.stack(images), **options)  # type: ignore[arg-type]
    return dict(
        zip(
            zip(pairs.first_P.tolist(), pairs.second_P.tolist(), strict=True),
            pairs.mirrored_P.tolist(),
            strict=True,
        )
    )


SCENES = [scene(seed) for seed in range(60)]


def test_different_pictures_are_no_pairs() -> None:
    assert found(SCENES) == {}


@pytest.mark.parametrize(
    ("guise", "mirrored"),
    [
        (lambda x: encoded_again(x, 60), False),
        (lambda x: encoded_again(x, 75, side=32), False),
        (lambda x: encoded_again(x, 75, side=80), False),
        (lambda x: (40 + 0.6 * x).astype(np.uint8), False),
        (lambda x: (0.5 * x).astype(np.uint8), False),
        (lambda x: np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8), False),
        (lambda x: x[:, ::-1], True),
        (lambda x: encoded_again(x[:, ::-1], 70, side=40), True),
    ],
    ids=["encoded", "smaller", "larger", "paler", "darker", "grey", "mirrored", "mirrored and smaller"],
)
def test_a_copy_in_another_guise_is_found_and_nothing_else(guise: object, mirrored: bool) -> None:
    copies = [guise(SCENES[index]) for index in (3, 17, 42)]  # type: ignore[operator]
    assert found([*SCENES, *copies]) == {(3, 60): mirrored, (17, 61): mirrored, (42, 62): mirrored}


@pytest.mark.parametrize("turned", [lambda x: x[::-1], lambda x: x.transpose(1, 0, 2), lambda x: 255 - x])
def test_what_is_not_claimed_is_not_found(turned: object) -> None:
    assert found([*SCENES, turned(SCENES[5])]) == {}  # type: ignore[operator]


def test_images_without_structure_are_like_nothing() -> None:
    noise = np.random.default_rng(0).integers(88, 92, (4, 48, 48, 3), dtype=np.uint8)
    plain = [np.full((48, 48, 3), value, dtype=np.uint8) for value in (0, 90, 90, 255)]
    assert found([*SCENES, *plain, *noise]) == {}


def test_only_the_images_that_are_asked_for_are_compared() -> None:
    images = [*SCENES[:20], SCENES[4], SCENES[9]]
    among = np.array([0, 4, 9, 20], dtype=np.int64)
    assert found(images, among=among) == {(4, 20): False}


def test_pairs_are_found_across_blocks_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [*SCENES, *(encoded_again(SCENES[index]) for index in (0, 59))]
    for rows, columns in ((7, 5), (64, 3), (1, 100)):
        monkeypatch.setattr(duplicates, "_ROWS", rows)
        monkeypatch.setattr(duplicates, "_COLUMNS", columns)
        assert found(images) == {(0, 60): False, (59, 61): False}


def test_many_copies_of_one_picture_do_not_become_all_their_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_PARTNERS", 2)
    pairs = found([*SCENES[:5], *[SCENES[0]] * 6])
    assert max(np.bincount([first for first, _ in pairs])) == 2


def test_the_likest_partners_are_the_same_however_few_candidates_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(1)
    frames = [np.clip(SCENES[0] + draw.normal(0, 8, SCENES[0].shape), 0, 255) for _ in range(90)]
    images = [frame.astype(np.uint8) for frame in frames] + SCENES[1:30]
    monkeypatch.setattr(duplicates, "_COLUMNS", 16)
    whole = found(images)
    sorted_at_once: list[int] = []
    likest = duplicates._likest

    def counted(blocks: list[duplicates._Block], rank_N: np.ndarray) -> duplicates._Block:
        sorted_at_once.append(sum(len(rows) for rows, _, _ in blocks))
        return likest(blocks, rank_N)

    monkeypatch.setattr(duplicates, "_likest", counted)
    monkeypatch.setattr(duplicates, "_PENDING", 100)
    assert found(images) == whole
    assert len(whole) > 1000
    assert max(sorted_at_once) <= 90 * (duplicates.MOST_PARTNERS + 16)


@pytest.mark.parametrize("held_out_first", [False, True])
def test_no_held_out_frame_of_a_scene_misses_its_twins_in_training(held_out_first: bool) -> None:
    draw = np.random.default_rng(0)
    frames = [np.clip(SCENES[0] + draw.normal(0, 8, SCENES[0].shape), 0, 255) for _ in range(120)]
    images = [*(frame.astype(np.uint8) for frame in frames), *SCENES[1:]]
    rank_N = np.full(len(images), 2)
    rank_N[: 60 if held_out_first else 120] = 0
    rank_N[: 0 if held_out_first else 60] = 2
    pairs = list(found(images, rank_N=rank_N))
    assert pairs == sorted(pairs)
    assert all(first < second for first, second in pairs)
    across = {image for pair in pairs for image in pair if {rank_N[one] for one in pair} == {0, 2}}
    assert {image for image in across if rank_N[image] == 0} == set(np.flatnonzero(rank_N == 0))


def test_progress_ends_with_all_images() -> None:
    told: list[tuple[str, int, int]] = []
    found(SCENES, progress=lambda *news: told.append(news))
    assert told[-1] == ("looking for near duplicates", 60, 60)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_have_no_pairs(count: int) -> None:
    assert len(near_pairs(np.zeros((count, 48, 48, 3), dtype=np.uint8))) == 0


@pytest.mark.parametrize("side", [4, 7, 16, 33])
def test_every_size_works(side: int) -> None:
    images = [scene(seed, side, side) for seed in range(8)]
    assert (2, 8) in found([*images, images[2]])


def test_groups_are_of_equal_digests_only() -> None:
    assert exact_groups(["a", "b", "c"]) == []
    assert exact_groups(["x", "y", "x", "x"]) == [[0, 2, 3]]
