from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from bakeoff.deploy.serving.batching import BatchCost, Batcher
from bakeoff.deploy.serving.refusals import Refusal


def marked(marks: list[int]) -> np.ndarray:
    """Make images of 2 x 3 pixels that carry a number each."""
    images_NHWC = np.zeros((len(marks), 2, 3, 3), np.uint8)
    images_NHWC[:, 1, 2, 0] = marks
    return images_NHWC


def read_marks(images_NHWC: np.ndarray) -> np.ndarray:
    return images_NHWC[:, 1, 2, :1].astype(np.float32)


class Gate:
    """Reads marks, but only once it is opened; notes the batches that came."""

    def __init__(self) -> None:
        self.open, self.entered = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, images_NHWC: np.ndarray) -> np.ndarray:
        self.entered.set()
        assert self.open.wait(30)
        rows = read_marks(images_NHWC)
        self.batches.append([int(mark) for mark in rows[:, 0]])
        return rows


async def ask(batcher: Batcher, marks: list[int], work: str = "marks") -> list[int]:
    with batcher.admission(len(marks)) as room:
        rows = await batcher.compute(work, marked(marks), room)
    return [int(mark) for mark in rows[:, 0]]


def test_every_answer_belongs_to_its_request_however_they_are_shuffled() -> None:
    generator = np.random.default_rng(5)
    asked = [list(map(int, generator.integers(0, 256, generator.integers(1, 9)))) for _ in range(300)]
    costs: list[BatchCost] = []
    batcher = Batcher({"marks": read_marks}, max_queue=9999, largest=16, listener=costs.append)

    async def one(marks: list[int]) -> list[int]:
        await asyncio.sleep(generator.uniform(0, 0.02))
        return await ask(batcher, marks)

    async def all_of_them() -> list[list[int]]:
        return await asyncio.gather(*map(one, asked))

    assert asyncio.run(all_of_them()) == asked
    batcher.close()
    assert sum(cost.images for cost in costs) == sum(map(len, asked))
    assert max(cost.images for cost in costs) <= 16
    assert len(costs) < len(asked)


def test_what_waits_shares_a_batch_with_others_of_its_model_and_none_overflows() -> None:
    gate, other = Gate(), Gate()
    other.open.set()
    batcher = Batcher({"marks": gate, "other": other}, max_queue=99, largest=4)

    async def story() -> list[list[int]]:
        first = asyncio.create_task(ask(batcher, [1]))
        await asyncio.to_thread(gate.entered.wait, 30)
        rest = [
            asyncio.create_task(ask(batcher, marks, work))
            for marks, work in [([2, 3], "marks"), ([4], "other"), ([5, 6, 7], "marks"), ([8], "marks")]
        ]
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(first, *rest)

    assert asyncio.run(story()) == [[1], [2, 3], [4], [5, 6, 7], [8]]
    batcher.close()
    assert gate.batches == [[1], [2, 3, 8], [5, 6, 7]]  # 5, 6, 7 had no room, and kept its turn
    assert other.batches == [[4]]


def test_a_batch_waits_for_images_that_are_being_decoded_but_not_for_nobody() -> None:
    gate = Gate()
    gate.open.set()
    batcher = Batcher({"marks": gate}, max_queue=99, patience=30.0)

    async def story() -> list[list[int]]:
        with batcher.admission(1) as late:
            early = asyncio.create_task(ask(batcher, [1]))
            await asyncio.sleep(0.05)
            assert not early.done()
            rows = await batcher.compute("marks", marked([2]), late)
        return [await early, [int(rows[0, 0])]]

    assert asyncio.run(story()) == [[1], [2]]
    assert gate.batches == [[1, 2]]
    assert asyncio.run(ask(batcher, [3])) == [3]  # alone, it would wait for half a minute
    batcher.close()


def test_a_full_queue_refuses_says_when_and_has_room_again_afterwards() -> None:
    gate = Gate()
    batcher = Batcher({"marks": gate}, max_queue=3)

    async def story() -> None:
        first = asyncio.create_task(ask(batcher, [1, 2]))
        await asyncio.to_thread(gate.entered.wait, 30)
        with pytest.raises(Refusal, match=r"got 2 more with 2 images waiting, expected at most 3") as refused:
            await ask(batcher, [3, 4])
        assert (refused.value.status, refused.value.retry_after) == (429, 1)
        gate.open.set()
        assert await first == [1, 2]
        assert await ask(batcher, [3, 4]) == [3, 4]

    asyncio.run(story())
    assert batcher.admitted == 0
    batcher.close()


def test_more_images_than_a_batch_holds_come_back_in_order() -> None:
    batcher = Batcher({"marks": read_marks}, max_queue=999, largest=8)
    assert asyncio.run(ask(batcher, list(range(100)))) == list(range(100))
    batcher.close()


def test_a_model_that_fails_fails_its_own_requests_and_no_later_ones() -> None:
    def broken(images_NHWC: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of order")

    batcher = Batcher({"marks": read_marks, "broken": broken}, max_queue=99)
    with pytest.raises(RuntimeError, match="out of order"):
        asyncio.run(ask(batcher, [1], "broken"))
    assert asyncio.run(ask(batcher, [2])) == [2]
    batcher.close()


def test_closing_answers_what_is_waiting_first() -> None:
    gate = Gate()
    batcher = Batcher({"marks": gate}, max_queue=99)

    async def story() -> list[int]:
        waiting = asyncio.create_task(ask(batcher, [7]))
        await asyncio.to_thread(gate.entered.wait, 30)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0)
        gate.open.set()
        await closing
        return await waiting

    assert asyncio.run(story()) == [7]
