"""How fast networks train on this machine: measured once each, and kept in a table in the cache folder.

So a second search with the same seed decides by the same numbers as the first.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from bakeoff.errors import ResourceError, StudyError
from bakeoff.homes import cache_home
from bakeoff.records.atomic import read_json, write_json
from bakeoff.spec import digest
from bakeoff.training.cost import measure
from bakeoff.training.job import Job
from bakeoff.training.machine import describe_environment
from bakeoff.training.optimizers import OPTIMIZERS

STEPS = 3  # that are timed, behind two that are not
SECONDS = 2.0  # after which fewer must do
HOPELESS = 3.0  # times the longest step allowed, behind which one is enough; a first one is slow by itself
_DECIDING = ("processor", "cores", "torch", "device", "threads")  # of an environment


class Speeds:
    """The table of one machine.

    Args:
        cache_dir: Where it is kept; None is `cache_home`.
        job: Whose machine it is about.
    """

    def __init__(self, cache_dir: Path | None, job: Job) -> None:
        environment = describe_environment(job.machine)
        self._machine = {key: environment[key] for key in _DECIDING}
        name = f"speeds-{digest(self._machine)}.json"
        self.path = (cache_dir if cache_dir is not None else cache_home()) / "search" / name
        self._table: dict[str, Any] | None = None

    def images_per_second(self, job: Job, *, least: float = 0.0) -> float:
        """Return how many images a second a job trains with, measured if nobody has yet.

        Args:
            job: Its network, recipe, size of images and precision count.
            least: Images a second that are asked for. What is so much slower that one step tells is timed no
                longer, and not kept.

        Returns:
            Images a second.

        Raises:
            RuntimeError: The network cannot be trained, for want of memory for example.
        """
        key = digest({
            "model": job.model_digest, "pixels": job.input_size, "stored": job.task.image_size,
            "batch": min(job.recipe.batch_size, len(job.data.train)), "classes": len(job.data.class_ids),
            "optimizer": [name := job.recipe.optimizer.name, OPTIMIZERS[name].version],
            "precision": job.precision,
            "augmentation": job.recipe.augmentation, "compile": job.recipe.compile,
        })  # fmt: skip
        table = self._known()
        if key not in table:
            batch = min(job.recipe.batch_size, len(job.data.train))
            longest = HOPELESS * batch / least if least else math.inf
            found = measure(job, steps=STEPS, seconds=SECONDS, longest=longest)
            rate = round(found.images_per_second, 2)
            if found.is_cut_short:  # rough, but sure to be too slow
                return min(rate, round(least / HOPELESS, 2))
            self._table = None
            table = self._known()  # as it is by now: another search may have added to it
            table[key] = rate
            with suppress(ResourceError):  # without a cache it is measured again, nothing else
                write_json(self.path, {"machine": self._machine, "images_per_second": table})
        return float(table[key])

    def _known(self) -> dict[str, Any]:
        if self._table is None:
            try:
                kept = read_json(self.path, "a table of speeds", dict) or {}
            except StudyError:  # damaged: what it says can be measured again
                kept = {}
            self._table = dict(kept.get("images_per_second", {}))
        return self._table
