"""Between runs on a cluster and the study's process: news one way, wishes the other."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bakeoff.errors import ResourceError
from bakeoff.study.engines.address import import_ray
from bakeoff.study.engines.worker import Said

RETRY_SECONDS = 30.0  # in which a post office that cannot be reached may come back


@dataclass(frozen=True, slots=True)
class News:
    """What a run has said."""

    name: str  # of the run
    attempt: int  # at it, from 1
    said: Said
    number: int  # of a file, by which its sender is told that it is safe; 0 for all else


class PostOffice:
    """Takes news until they are fetched, and keeps wishes; the class of an actor beside the study's process.

    Who brings a file waits until the study's process has written it down: a checkpoint is kept, and a
    reading of the test images is noted, before the run goes on.
    """

    def __init__(self) -> None:
        self._news: list[News] = []
        self._wishes: dict[str, str] = {}
        self._waiting: dict[int, asyncio.Event] = {}
        self._numbers = itertools.count(1)

    async def tell(self, name: str, attempt: int, said: Said) -> str:
        """Take news of a run; return what is wished of it."""
        if said.kind == "file":
            number, written = next(self._numbers), asyncio.Event()
            self._waiting[number] = written
            self._news.append(News(name, attempt, said, number))
            await written.wait()
        else:
            self._news.append(News(name, attempt, said, 0))
        return self._wishes.get(name) or self._wishes.get("", "")

    async def take(self) -> list[News]:
        """Hand over all news since the last time."""
        news, self._news = self._news, []
        return news

    async def written(self, numbers: Collection[int]) -> None:
        """Let those go on whose files are safe."""
        for number in numbers:
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                waiting.set()

    async def wish(self, name: str, wish: str) -> None:
        """Keep a wish for a run, or for all under no name."""
        self._wishes[name] = wish


class RayPost:
    """A run's way to the post office.

    Args:
        office: The actor.
        name: Of the run.
        attempt: At it.
    """

    def __init__(self, office: Any, name: str, attempt: int) -> None:
        self._office, self._name, self._attempt = office, name, attempt

    def tell(self, said: Said) -> str:
        """Deliver news, and wait until they are there.

        Args:
            said: The news; told twice where it is not known whether they had arrived.

        Returns:
            What is wished: nothing, ``"stop"`` or ``"leave"``.

        Raises:
            ResourceError: The study's process cannot be reached.
        """
        ray = import_ray()
        until = time.monotonic() + RETRY_SECONDS
        answer: str | None = None
        while answer is None:
            try:
                answer = ray.get(self._office.tell.remote(self._name, self._attempt, said))
            except ray.exceptions.RayError as error:
                passing = isinstance(error, ray.exceptions.ActorUnavailableError)
                if not passing or time.monotonic() > until:
                    words = " ".join(str(error).split())[:200]
                    message = f"--engine ray: the study's process is out of reach: {words}"
                    raise ResourceError(message) from error
                time.sleep(1.0)
        return answer
