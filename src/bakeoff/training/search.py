"""A run that searches: trials by the product's own training, then the winner's final training, in one budget.

What is tried is decided in `bakeoff.searching`; here it is trained, measured and written down. The record is
that of any other run: the network that was found is what is scored, exported and served.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bakeoff.data.batches import steps_in_epoch
from bakeoff.errors import ConfigError
from bakeoff.models.macro import code
from bakeoff.records import RunFolder, RunRecord, writing
from bakeoff.records.atomic import write_text
from bakeoff.records.trials import Journal, Trial, TrialsFile
from bakeoff.searching.budget import RESERVE, Clock, Purse, refuse_small
from bakeoff.searching.filters import ATTEMPTS, Limits, refuse_empty
from bakeoff.searching.pace import PREDICTION, Pace
from bakeoff.searching.points import start_point
from bakeoff.searching.proposals import Proposal, propose
from bakeoff.searching.rungs import (
    Ladder,
    Rung,
    fewest_epochs,
    fixed_share,
    ladder,
    next_training,
    one_rung,
    sizes,
)
from bakeoff.spec import Recipe
from bakeoff.spec.macro import Macro
from bakeoff.spec.recipe import VIEWS
from bakeoff.spec.search import SearchSpec
from bakeoff.training.account import Account
from bakeoff.training.cost import Measured, measure
from bakeoff.training.job import Job
from bakeoff.training.latency import LEAST_SECONDS, SECONDS
from bakeoff.training.loop import Step
from bakeoff.training.run import (
    CHECKPOINT_SECONDS,
    NO_FAULT_OF_ITS_OWN,
    RunListener,
    one_line,
    train_run,
    train_trial,
)
from bakeoff.training.search_jobs import THIRD, count_network, on_network, recipe_at, trial_job
from bakeoff.training.speeds import Speeds
from bakeoff.training.state import seconds_of

BEAT_SECONDS = 2.0  # between two notes of what is charged
MOST_SPENT = 0.8  # of a budget, behind which a winner that diverged in its final training has no successor
LOST = 0.01  # of a budget that an interruption may cost at most
SAVING = 200  # times the seconds that a checkpoint takes, between two of the final training
STORED = 3  # numbers in a checkpoint for each parameter
FATAL = 2  # times that a process ended in a network without a word, behind which it is not begun again
OVERHEAD = 1.0  # seconds of a trial beside its steps and its validation: measuring, building


def run_search(
    job: Job, folder: RunFolder, listener: RunListener, *, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> RunRecord:
    """Search, train what was found, and write the record of both.

    Interrupted, it goes on behind the last trial that ended, or within the final training.

    Args:
        job: What is asked for.
        folder: Receives the trials, and what any run leaves.
        listener: Hears the steps of all trainings, as shares of the budget, and may stop them.
        checkpoint_seconds: Of training that an interruption may cost.

    Returns:
        The record that was written.

    Raises:
        Stopped: The listener asked for it.
        ResourceError: The disk is full.
    """
    if job.search_spec.budget is not None and job.recipe.length.unit == "seconds":
        checkpoint_seconds = min(checkpoint_seconds, max(1.0, LOST * job.recipe.length.amount))
    search = _Search(job, folder, listener, checkpoint_seconds)
    try:
        record = search.train(search.find())
        while record.status != "finished" and not folder.test_readings():  # the next best, in what is left
            next_best = search.succeed(record)
            if next_best is None:
                break
            record = search.train(next_best)
    except Exception as error:  # of this search alone, of any kind: the study goes on
        if isinstance(error, NO_FAULT_OF_ITS_OWN):
            raise
        write_text(folder.traceback_path, traceback.format_exc())
        failed = replace(job, search=search.told())
        record = Account().record(failed, "failed", one_line(error), folder.test_readings())
        folder.write(record)
        folder.clear_unfinished(checkpoint=False)
    return search.close(record)


class _Search:
    """One search, from its journal on."""

    def __init__(self, job: Job, folder: RunFolder, listener: RunListener, checkpoint_seconds: float) -> None:
        self.job, self.folder, self.listener = job, folder, listener
        self.checkpoint_seconds = checkpoint_seconds
        self.spec: SearchSpec = job.search_spec
        self.file = TrialsFile(folder.trials_path, folder.keep)
        self._forget_other()
        self.clock = Clock(self.file.charged())
        self.purse = Purse(self.spec.budget, self.spec.share)
        self.speeds = Speeds(job.cache_dir, job)
        self._last_beat = time.monotonic()
        self.pace = Pace(pixels=self._pixels)
        self._sizes: tuple[int, ...] = ()  # of the images on all rungs

    def _forget_other(self) -> None:
        """Remove what a search that was asked for otherwise has left: none of it holds for this one."""
        plan = self.file.read().plan
        if plan.get("identity") != self.job.identity:
            self.file.discard()
            self.folder.clear_unfinished()
            self.folder.network_path.unlink(missing_ok=True)

    def find(self) -> Job:
        """Run trials until their share is spent, and say what the final training is.

        Returns:
            The final training.

        Raises:
            ConfigError: The budget is too small, or the filters leave nothing.
        """
        self.job.machine.apply()
        journal = self.file.read()
        if not journal.plan:
            self.file.add("plan", self._plan())
            journal = self.file.read()
        plan = journal.plan
        self.pace = Pace(
            pixels=self._pixels, reference=plan["reference_images_per_second"],
            fixed=float(plan["fixed_share"]),
        )  # fmt: skip
        rungs = tuple(Rung(int(rung["pixels"]), float(rung["epochs"])) for rung in plan["rungs"])
        self._sizes = tuple(rung.pixels for rung in rungs)
        steps = Ladder(rungs, int(plan["trials"]))
        counted = int(plan["reference_multiplications"]) if self.job.machine.device == "cpu" else 0
        limits = Limits.of(self.spec, self.pace.reference, counted)
        while not journal.final and self._try_next(journal, steps, limits):
            journal = self.file.read()
            self._tell(journal, steps)
        shutil.rmtree(self.folder.trial_path, ignore_errors=True)
        if not journal.final:
            self._choose(journal, self._epochs_spent())
            journal = self.file.read()
        return self._final_job(journal)

    def train(self, final: Job) -> RunRecord:
        """Do a final training, and write its record."""
        return train_run(final, self.folder, self.ear(final), checkpoint_seconds=self.checkpoint_seconds)

    def succeed(self, record: RunRecord) -> Job | None:
        """Take back the record of a winner that did not finish, and let the next best have its turn.

        Killed behind this, a search without a record goes on; where there is no successor, the record is
        written again.

        Args:
            record: Of that training, whose time and epochs are spent.

        Returns:
            The next final training; None where nobody or nothing is left.
        """
        path = self.folder.traceback_path
        trace = path.read_text(encoding="utf-8") if path.exists() else ""
        self.folder.reopen()
        next_best = self._next_best(record)
        if next_best is None:
            if trace:
                write_text(path, trace)
            self.folder.write(record)
        return next_best

    def _next_best(self, record: RunRecord) -> Job | None:
        """Write down that the winner did not finish its final training, and who is next."""
        journal = self.file.read()
        spent = float(journal.final["epochs"]) + record.epochs
        budget, used = self.purse.budget, self.clock.charged if self.purse.in_seconds else spent
        tried = [*journal.final.get("diverged", []), int(journal.final["number"])]
        if journal.without(tried).best is None or (budget is not None and used > MOST_SPENT * budget.amount):
            return None
        self.folder.clear_unfinished()  # the checkpoint of what failed is of another network
        self._choose(journal.without(tried), spent, diverged=tried)
        return self._final_job(self.file.read())

    def told(self) -> dict[str, Any]:
        """Say in a failed run's record how far its search came; nothing where it never began."""
        journal = self.file.read()
        if not journal.plan:
            return {}
        return _told(journal, self.spec, round(self.clock.charged, 3), self.job.recipe)

    def close(self, record: RunRecord) -> RunRecord:
        """Stop the clock, and say in the record all that was charged.

        Behind what failed, and is tried again, the clock stands where it is.
        """
        if record.status == "failed":
            self.file.beat(self.clock.charged)
        else:
            self.file.stop_clock()
        if not record.search:
            return record
        record = replace(record, search={**record.search, "charged": round(self.clock.charged, 3)})
        self.folder.write(record)
        return record

    # --- the plan ---

    def _plan(self) -> dict[str, Any]:
        """Measure the first network at two sizes, and plan the rungs by that."""
        point = start_point(self.spec.bounds, self._pixels)
        job = trial_job(self.job, point, Rung(self._pixels, 1.0), "reference")
        small = sizes(self._pixels, [0.5])[0]
        rate, fixed = None, 1.0  # where epochs or trials are counted, small images save nothing
        if self.purse.in_seconds:
            rate = self.speeds.images_per_second(job)
            quick = self.speeds.images_per_second(trial_job(self.job, point, Rung(small, 1.0), "reference"))
            fixed = fixed_share(rate, quick, small, self._pixels)
        batch = job.recipe.batch_size
        images = len(self.job.data.train)
        shape: dict[str, Any] = {"pixels": self._pixels, "images": images, "batch": batch}
        if rate is not None:
            epoch = images / float(f"{rate:.3g}")
            available = self.purse.for_trials / epoch
        else:
            length, epoch = self.job.recipe.length, 1.0
            available = self.purse.for_trials if self.purse.budget is not None else self._counted(length)
        self._refuse_small(shape, epoch, fixed, rate)
        planned = ladder(available, most=self.spec.trials, fixed=fixed, **shape)
        if planned is None:
            raise ConfigError(
                f"search.budget: got {self.spec.budget}, too small for one trial; expected more"
            )
        if self.spec.method == "random":
            planned = one_rung(available, most=self.spec.trials, **shape)
        if self.purse.budget is None:  # so many begin in any case
            planned = replace(planned, trials=self.spec.trials or planned.trials)
        return {
            "rungs": [{"pixels": rung.pixels, "epochs": rung.epochs} for rung in planned.rungs],
            "trials": planned.trials, "reference_images_per_second": rate,
            "reference_multiplications": count_network(self.job, point)[0].multiplications,
            "fixed_share": fixed, "method": self.spec.method,
            "seed": self.job.seed,
            "identity": self.job.identity,
        }  # fmt: skip

    def _counted(self, length: Any) -> float:
        """Return the epochs of all trials where these alone are counted: a third of a final training each."""
        images, batch = len(self.job.data.train), self.job.recipe.batch_size
        if length.unit == "seconds":
            raise ConfigError(
                f"search.trials: got {self.spec.trials} and a recipe of {length}, "
                "expected search.budget beside them, or a recipe of epochs or steps"
            )
        steps = length.to_steps(steps_in_epoch(images, batch)) or 1
        return float(self.spec.trials or 1) * steps / max(1, images / batch) / THIRD

    def _refuse_small(self, shape: dict[str, Any], epoch: float, fixed: float, rate: float | None) -> None:
        """Refuse a budget of which a share does not pay for the cheapest trial, or the rest for the end."""
        if self.purse.budget is None:
            return
        cheapest = fewest_epochs(fixed=fixed, **shape) * epoch
        rest = fewest_epochs(**{**shape, "fixed": 1.0}) * epoch  # as many steps, at full size
        kept = 0.0
        if rate is not None:
            cheapest += max(self.clock.charged, OVERHEAD) + OVERHEAD
            cheapest += len(self.job.data.validation) * PREDICTION / rate
            rest += _closing(replace(self.job, timed=False), PREDICTION / rate, 0.0, rest)
            if self.job.timed:  # which takes the longer, the longer the training is
                rest += min(2 * SECONDS + LEAST_SECONDS, max(3 * LEAST_SECONDS, rest + 2 * LEAST_SECONDS))
            kept = RESERVE
        refuse_small(self.purse.budget, max(cheapest / self.spec.share, rest / (1 - self.spec.share - kept)))

    # --- trials ---

    def _try_next(self, journal: Journal, steps: Ladder, limits: Limits) -> bool:
        """Train or refuse what is next; tell whether there was something."""
        begun = {trial.number for trial in journal.ended}
        most = self.spec.trials
        step = next_training(journal.ended, len(steps.rungs), begins=most is None or len(begun) < most)
        if step is None:
            return False
        rung = steps.rungs[step.rung]
        if step.number is not None:
            before = next(t for t in journal.ended if t.number == step.number)
            return self._train(before, step.rung, rung, first=False)
        number = len(begun)
        refused = [t for t in journal.trials if t.number == number and t.status == "refused"]
        if (begun or refused) and not self._affords(rung, self.pace.reference):
            if not begun:
                refuse_empty(refused, limits, spent=True)
            return False
        proposal = propose(
            self.spec, journal.trials, number=number, attempt=len(refused), seed=self.job.seed,
            pixels=self._pixels, planned=steps.trials,
        )  # fmt: skip
        if len(refused) >= ATTEMPTS or proposal.point in [t.point for t in journal.trials]:
            if not begun:
                refuse_empty(refused, limits)
            return False  # nothing new is left: the best of what was trained is the winner
        trial, reason = self._weighed(proposal, limits, rung)
        if reason:
            self.file.add_trial(
                replace(trial, status="refused", reason=reason, elapsed=round(self.clock.charged, 3))
            )
            return True
        return self._train(trial, 0, rung, first=not begun)

    def _weighed(self, proposal: Proposal, limits: Limits, rung: Rung) -> tuple[Trial, str]:
        """Count and measure a proposal; say which filter refuses it, if one does."""
        trial = Trial(
            number=proposal.number, attempt=proposal.attempt, proposed=proposal.proposed,
            parent=proposal.parent, point=proposal.point,
        )  # fmt: skip
        try:
            counted, words = count_network(self.job, proposal.point, self._sizes)
            trial = replace(
                trial, words=words, parameters=counted.parameters, multiplications=counted.multiplications
            )
            reason = limits.counted(counted.parameters, counted.multiplications)
            if reason or not limits.by_clock:
                return trial, reason
            # A limit that was given is one at full size; the other one is for what trials cost.
            at = Rung(self._pixels, 1.0) if self.spec.min_images_per_second else rung
            cost, least = self.pace.cost(at), limits.images_per_second or 0.0
            name = f"speed {proposal.number} attempt {proposal.attempt}"
            if self.file.read().begun.get(name, 0) >= FATAL:
                return trial, f"cannot be trained: the process ended in measuring it, {FATAL} times"
            self.beat()
            job = trial_job(self.job, proposal.point, at, "rate")
            with self._at(name):
                rate = self.speeds.images_per_second(job, least=least / cost) * cost
            self.beat()
        except Exception as error:  # of this network alone, of any kind: others may do
            if isinstance(error, NO_FAULT_OF_ITS_OWN):
                raise
            return trial, f"cannot be trained: {one_line(error)}"
        return replace(trial, images_per_second=round(rate, 2)), limits.measured(rate)

    def _train(self, trial: Trial, number: int, rung: Rung, *, first: bool) -> bool:
        """Train a trial at a rung and write it down; tell whether the budget allowed it."""
        if not first and not self._affords(rung, trial.images_per_second):
            return False
        started = time.monotonic()
        name = f"trial {trial.number} rung {number}"
        rung = replace(rung, epochs=self.pace.epochs(rung, trial.images_per_second))
        if self.file.read().begun.get(name, 0) >= FATAL:
            self.file.add_trial(
                replace(
                    trial, rung=number, pixels=rung.pixels, epochs=rung.epochs, status="failed",
                    reason=f"the process ended in it, {FATAL} times", elapsed=round(self.clock.charged, 3),
                )
            )  # fmt: skip
            return True
        job = trial_job(self.job, trial.point, rung, name)
        scratch = self.folder.within(self.folder.trial_path.name)
        with self._at(name):
            shown = train_trial(job, scratch, self.ear(job), checkpoint_seconds=self.checkpoint_seconds)
        scratch.clear_unfinished()
        accuracy, loss = shown.validation.get("accuracy"), shown.validation.get("loss")
        if not trial.images_per_second and shown.seconds:
            rate = shown.images / shown.seconds * self.pace.cost(rung)
            trial = replace(trial, images_per_second=round(rate, 2))
        self.file.add_trial(
            replace(
                trial, rung=number, pixels=rung.pixels, epochs=rung.epochs,
                status="ended" if shown.status == "finished" else shown.status, reason=shown.reason or "",
                accuracy=accuracy, loss=loss, seconds=round(time.monotonic() - started, 3),
                elapsed=round(self.clock.charged, 3),
            )
        )  # fmt: skip
        return True

    @contextmanager
    def _at(self, name: str) -> Iterator[None]:
        """Note what is at work, so that what ends the process is known when the search goes on."""
        self.file.add("begun", {"at": name})
        try:
            yield
        finally:
            self.file.add("left", {"at": name})

    def _affords(self, rung: Rung, images_per_second: float | None) -> bool:
        """Tell whether the trials' share still pays for a training at a rung."""
        if self.pace.reference is None or images_per_second is None:
            return self.purse.affords(self._epochs_spent(), rung.epochs)
        data = self.job.data
        seconds = self.pace.seconds(
            rung, images_per_second, training=len(data.train), validation=len(data.validation)
        )
        return self.purse.affords(self.clock.charged, seconds + OVERHEAD)

    def _epochs_spent(self) -> float:
        return sum(trial.epochs for trial in self.file.read().ended)

    @property
    def _pixels(self) -> int:
        return self.job.input_size

    # --- the end ---

    def _choose(self, journal: Journal, epochs: float, diverged: Sequence[int] = ()) -> None:
        """Write down who won, and what is spent by then."""
        best = journal.best
        if best is None:
            reasons = [trial.reason for trial in journal.ended if trial.reason]
            raise ConfigError(
                f"search: none of {len(journal.ended)} trials has ended well"
                f"{'; the last: ' + reasons[-1] if reasons else ''}"
            )
        self.file.add(
            "final",
            {"number": best.number, "rung": best.rung, "accuracy": best.accuracy, "point": best.point,
             "seconds": round(self.clock.charged, 3), "epochs": epochs, "diverged": list(diverged)},
        )  # fmt: skip

    def _final_job(self, journal: Journal) -> Job:
        """Ask for the final training: of the winner, in what the budget still holds."""
        point, spent = journal.final["point"], float(journal.final["seconds"])
        job = replace(on_network(self.job, point), recipe=recipe_at(self.job, point), asked=self.job.recipe)
        self.folder.network_path.unlink(missing_ok=True)  # of a winner that diverged
        if isinstance(job.architecture, Macro):
            write_text(self.folder.network_path, code(job.architecture))
        before = self.clock.charged
        recipe = job.recipe.overlaid(self._final_length(job, journal), "search")
        spent += self.clock.charged - before  # it is measured once more, at full size
        job = replace(job, recipe=recipe)
        return replace(job, search=_told(journal, self.spec, spent, job.recipe))

    def _final_length(self, job: Job, journal: Journal) -> dict[str, Any]:
        budget = self.purse.budget
        if budget is None:
            length = self.job.recipe.length
            return {length.unit: int(length.amount) if length.unit == "steps" else length.amount}
        if not self.purse.in_seconds:
            return {"epochs": max(budget.amount - float(journal.final["epochs"]), 0.01)}
        done = seconds_of(self.folder.checkpoint_path, job.identity)
        measured = measure(job, steps=2, seconds=OVERHEAD)
        rare = SAVING * self._seconds_of_saving(measured.parameters)
        self.checkpoint_seconds = max(self.checkpoint_seconds, rare)
        left = self.purse.final_seconds(
            self.clock.charged,
            closing=_closing(
                job, measured.seconds_per_prediction, done, max(0.0, budget.amount - self.clock.charged)
            ),
            validation=_validation(job, measured),
        )
        return {"time": f"{max(left + done, 0.01):.2f}s"}

    def _seconds_of_saving(self, parameters: int) -> float:
        """Time the writing of as many bytes as a checkpoint has: weights, and what an optimizer keeps."""
        content, started = bytes(4 * STORED * parameters), time.monotonic()
        with writing(self.folder.trial_path / "timed") as partial:
            partial.write_bytes(content)
        took = time.monotonic() - started
        shutil.rmtree(self.folder.trial_path, ignore_errors=True)
        return took

    # --- what is heard ---

    def ear(self, job: Job) -> RunListener:
        """Listen to a training for the search's listener."""
        return _Ear(self, trial=job.asked is None)

    def share_done(self, step: Step) -> float:
        """Tell how far the whole is, as far as a clock can tell."""
        if self.purse.in_seconds and self.purse.budget is not None:
            return min(1.0, self.clock.charged / self.purse.budget.amount)
        return step.progress

    def beat(self) -> None:
        """Note what is charged, every now and then."""
        now = time.monotonic()
        if now - self._last_beat >= BEAT_SECONDS:
            self._last_beat = now
            self.file.beat(self.clock.charged)

    def _tell(self, journal: Journal, steps: Ladder) -> None:
        best = journal.best
        begun = len({trial.number for trial in journal.ended})
        if best is not None and best.accuracy is not None:
            self.listener.on_evaluation(
                f"best {best.accuracy:.3f}, trial", begun, max(begun + 1, steps.trials)
            )


class _Ear:
    """Hears a training of a search; its steps are steps of the whole."""

    def __init__(self, search: _Search, *, trial: bool) -> None:
        self._search = search
        self._trial = trial

    def on_step(self, step: Step) -> bool:
        """Pass on a step with the share of the budget that is spent."""
        self._search.beat()
        share = self._search.share_done(step)
        return self._search.listener.on_step(replace(step, progress=share, steps_total=None))

    def on_epoch(self, row: dict[str, float]) -> None:
        """Pass on an epoch of the final training; those of trials are nobody's history."""
        self._search.beat()
        if not self._trial:
            self._search.listener.on_epoch(row)

    def on_evaluation(self, split: str, done: int, total: int) -> None:
        """Pass on an evaluation."""
        self._search.beat()
        self._search.listener.on_evaluation(split, done, total)


def _validation(job: Job, found: Measured) -> float:
    """Return the seconds of validation for each second of steps."""
    epoch = len(job.data.train) / found.images_per_second
    return len(job.data.validation) * found.seconds_per_prediction / epoch


def _closing(job: Job, seconds_per_prediction: float, done: float, left: float) -> float:
    """Return the seconds behind the last step: the final evaluation, and timing predictions.

    Timing takes twice a quarter of the training, which is no longer than what is left of the budget.
    """
    images = len(job.data.validation) + len(job.data.test)
    evaluation = VIEWS[job.recipe.test_views] * images * seconds_per_prediction
    last = len(job.data.validation) * seconds_per_prediction
    each = min(SECONDS, max(LEAST_SECONDS, left / 4))
    timing = 2 * each + LEAST_SECONDS if job.timed and not done else 0.0
    return evaluation + last + timing + OVERHEAD / 2


def _told(journal: Journal, spec: SearchSpec, spent: float, recipe: Recipe) -> dict[str, Any]:
    """Say in a run's record what its search was."""
    refused: dict[str, int] = {}
    for trial in journal.trials:
        if trial.status == "refused":
            name = trial.reason.partition(":")[0]
            refused[name] = refused.get(name, 0) + 1
    ended = journal.ended
    return {
        "method": spec.method, "budget": str(spec.budget) if spec.budget is not None else "",
        "seconds": spent, "epochs": float(journal.final.get("epochs", sum(t.epochs for t in ended))),
        "trials": len({trial.number for trial in ended}), "trainings": len(ended), "refused": refused,
        "best": journal.final.get("number"), "validation_accuracy": journal.final.get("accuracy"),
        "point": journal.final.get("point", {}), "rungs": journal.plan["rungs"],
        "recipe": recipe.model_dump(mode="json"),
    }  # fmt: skip
