"""From what a candidate says to what its network stands on, as plain data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bakeoff.models.architecture import Architecture, OnBackbone, OnSource
from bakeoff.models.pretrained import backbone
from bakeoff.records import RunFolder
from bakeoff.spec import CandidateSpec


def on_backbone(candidate: CandidateSpec, weights: Path | None, digest: str = "") -> OnBackbone:
    """Say what a candidate on a network of timm is.

    Args:
        candidate: With a ``from`` of the form ``timm:NAME``.
        weights: The user's own file; None looks where such weights are found.
        digest: Of the weights, where a run on them has ended; they are not looked for any more.

    Returns:
        Its network.
    """
    known = backbone(candidate.source or "")
    return OnBackbone(
        backbone=known, weights=weights, digest=digest, head=candidate.head, **_moving(candidate)
    )


def on_source(
    candidate: CandidateSpec,
    run: RunFolder,
    *,
    base: Architecture,
    classes: int,
    input_size: int,
    name: str,
    identity: str,
) -> OnSource:
    """Say what a candidate on a trained run is.

    Args:
        candidate: With a ``from``.
        run: The trained one's folder.
        base: The trained network.
        classes: Of its task.
        input_size: Pixels that it was trained on.
        name: For messages.
        identity: Of the trained run.

    Returns:
        Its network.
    """
    return OnSource(
        base=base, base_classes=classes, input_size=input_size, source=name, identity=identity,
        weights=run.weights_path, tap=candidate.tap, head=candidate.head, **_moving(candidate),
    )  # fmt: skip


def _moving(candidate: CandidateSpec) -> dict[str, Any]:
    """Say what of a source moves; a probe is its head alone."""
    return {"train": "head" if candidate.probe else candidate.train, "train_last": candidate.train_last}


def weights_file(candidate: CandidateSpec, base_dir: Path) -> Path | None:
    """Return a candidate's own file of weights; None where it names none."""
    return base_dir / os.path.expanduser(candidate.weights) if candidate.weights is not None else None
