"""What a run tells in another process, told to the study's listener in this one."""

from __future__ import annotations

import torch

from bakeoff.study.engines.engine import Ears, Order
from bakeoff.study.engines.worker import Said
from bakeoff.training.loop import Step


def pass_on(said: Said, order: Order, ears: Ears) -> bool:
    """Tell a study's listener what a run in another process has told.

    Args:
        said: A step, an epoch or an evaluation.
        order: Of the run.
        ears: The listener's.

    Returns:
        Whether the study is to stop.

    Raises:
        Stopped: The listener wants the evaluation left.
        StudyError: The listener has raised an error of its own.
    """
    ear = ears.of(order.job)
    if said.kind == "step":
        epoch, steps, total, loss, images, seconds, progress = said.values
        step = Step(epoch, steps, total, torch.tensor(loss), images, seconds, progress)
        return ear.on_step(step)
    if said.kind == "epoch":
        ear.on_epoch(said.values)
    else:
        ear.on_evaluation(*said.values)
    return False
