"""What can be seen to fail before anything is trained: models, weights, heads, sizes; refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from bakeoff.data.batches import steps_in_epoch
from bakeoff.errors import ConfigError
from bakeoff.models.architecture import OnSource, build_network, title, user_files
from bakeoff.models.catalog import check_model
from bakeoff.models.pretrained import backbone, check_weights, find_weights
from bakeoff.models.summary import summarise
from bakeoff.models.transfer import Stacked, blocks, blocks_at_rest
from bakeoff.spec import CandidateSpec, StudySpec
from bakeoff.study.earlier import earlier_of
from bakeoff.study.identity import RATES
from bakeoff.study.origins import weights_file
from bakeoff.study.selection import Selection
from bakeoff.training.job import Job


def check_spec(
    spec: StudySpec,
    base_dir: Path,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    *,
    download: bool = True,
) -> None:
    """Refuse what can be seen to fail before any image is read.

    Args:
        spec: The whole study.
        base_dir: Where relative paths in it start.
        selection: The part whose sources and weights must be there.
        download: Whether weights may be fetched.

    Raises:
        ConfigError: A model does not exist, views cannot be kept, or a budget is not given in seconds.
        DataError: A file of weights is of another network, or none.
        ResourceError: Weights are not on this machine and cannot or must not be fetched.
    """
    asked = {(t.name, c.name) for t in selection.tasks_of(spec) for c in selection.candidates_of(spec, t)}
    for task in spec.tasks:
        for candidate in spec.candidates_of(task):
            if candidate.model is not None:
                check_model(candidate.model, base_dir)
            if candidate.is_pretrained:
                backbone(candidate.source or "")
            for name in candidate.search.backbones if candidate.search is not None else ():
                backbone(name)
            if (task.name, candidate.name) in asked:
                _check_source(candidate, selection.seeds_of(spec, task), base_dir, download)
            recipe = spec.recipe_for(task, candidate)
            if candidate.views is not None and (recipe.augmentation.mixup or recipe.augmentation.cutmix):
                raise ConfigError(
                    f"candidate '{candidate.name}'.views: keeps images that are shifted and mirrored, "
                    "expected a recipe without mixup and cutmix"
                )
            if task.control == "budget" and recipe.time is None:
                raise ConfigError(
                    f"task '{task.name}': control = \"budget\" holds seconds equal, "
                    f"expected recipe.time for candidate '{candidate.name}'"
                )


def _check_source(candidate: CandidateSpec, seeds: Sequence[int], base_dir: Path, download: bool) -> None:
    """See that what a candidate stands on, outside of its study, is there."""
    if candidate.is_pretrained:
        known, given = backbone(candidate.source or ""), weights_file(candidate, base_dir)
        file = find_weights(known, given, download=download)
        if given is not None:
            check_weights(known, file)
    for name in candidate.search.backbones if candidate.search is not None else ():
        find_weights(backbone(name), None, download=download)
    for seed in seeds:
        earlier_of(candidate, seed, base_dir)


def check_fit(job: Job) -> None:
    """Refuse a head, a tap, blocks, a count of layers or sizes that do not fit, before anything is trained.

    Args:
        job: Whose network is built without weights, memory or arithmetic.

    Raises:
        ConfigError: It does not fit; the candidate is named.
    """
    name = job.candidate.name
    if job.recipe.compile and job.candidate.unfreeze_epochs:
        raise ConfigError(
            f"candidate '{name}': unfreeze_epochs and compile: got both; each block would be compiled anew"
        )
    if job.is_external or job.is_search or user_files(job.architecture):
        return  # a user's file or program runs when its turn comes, and fails alone
    try:
        _check_source_size(job)
        with torch.device("meta"):
            network = build_network(
                job.architecture, classes=len(job.data.class_ids), image_size=job.input_size,
                base_dir=job.base_dir, trained=False,
            )  # fmt: skip
        if isinstance(network, Stacked):
            _check_movement(network, job)
        _check_sizes(network, job)
    except ConfigError as error:
        raise ConfigError(f"candidate '{name}': {error}") from None


def _check_movement(network: Stacked, job: Job) -> None:
    """Refuse words about how the source moves that would say nothing, or leave it still without a word."""
    candidate, recipe = job.candidate, job.recipe
    moves = any(parameter.requires_grad for parameter in network.base.parameters())
    idle = [key for key in RATES if candidate.is_set(key)]
    if idle and not moves:
        raise ConfigError(
            f"{idle[0]}: got {getattr(candidate, idle[0]):g}, but nothing of the source moves; leave it out"
        )
    if candidate.source_norms == "kept":
        network.keep_statistics()
        if not network.kept_norms:
            raise ConfigError(
                "source_norms: got 'kept', but the source has no batch normalization that moves; leave it out"
            )
    steps = steps_in_epoch(len(job.data.train), recipe.batch_size)
    total = recipe.length.to_steps(steps)
    if (candidate.unfreeze_epochs or candidate.head_epochs) and moves and total is not None:
        last = max(0, -(-total // steps) - 1)
        count = len(blocks(network.base))
        at_rest = blocks_at_rest(
            last, count, head_epochs=candidate.head_epochs, unfreeze_epochs=candidate.unfreeze_epochs
        )
        if at_rest:
            needed = candidate.head_epochs + candidate.unfreeze_epochs * (count - 1) + 1
            if not candidate.unfreeze_epochs:
                raise ConfigError(
                    f"head_epochs: got {candidate.head_epochs}, with which nothing of the source ever moves; "
                    f'expected at least {needed} epochs, or train = "head"'
                )
            raise ConfigError(
                f"unfreeze_epochs: got {candidate.unfreeze_epochs}, with which {at_rest} of the source's "
                f"{count} blocks never move; expected at least {needed} epochs, or 'train' by name"
            )


def _check_sizes(network: nn.Module, job: Job) -> None:
    """Refuse to show a network images of a size that it does not take."""
    asked = [("input_size", job.input_size)]
    if not job.candidate.probe:
        asked += [("sizes", pixels) for pixels, _ in job.recipe.sizes]
    for key, pixels in asked:
        try:
            summarise(network, pixels)
        except NotImplementedError:  # an operator that needs real numbers; the run itself will tell
            return
        except Exception as error:  # of many kinds: networks only complain when they meet an image
            said = f"({' '.join(str(error).split())[:100]})"
            why = f"was built for {job.input_size} pixels alone" if key == "sizes" else "takes no such images"
            raise ConfigError(f"{key}: got {pixels}, but {title(job.architecture)} {why} {said}") from None


def _check_source_size(job: Job) -> None:
    """Refuse another size than a source was trained on, where its layers fit that one alone."""
    architecture = job.architecture
    if not isinstance(architecture, OnSource) or job.input_size == architecture.input_size:
        return
    shapes = []
    for pixels in (job.input_size, architecture.input_size):
        with torch.device("meta"):
            base = build_network(
                architecture.base, classes=architecture.base_classes, image_size=pixels,
                base_dir=job.base_dir, trained=False,
            )  # fmt: skip
        shapes.append({name: tensor.shape for name, tensor in base.state_dict().items()})
    if shapes[0] != shapes[1]:
        odd = next(name for name in shapes[1] if shapes[0].get(name) != shapes[1][name])
        raise ConfigError(
            f"input_size: got {job.input_size}, but '{architecture.source}' was trained on "
            f"{architecture.input_size} pixels, and its {odd} fits no others"
        )
