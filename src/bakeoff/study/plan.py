"""From a study and its prepared images to jobs, each with its identity and its control."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from bakeoff.data.batches import steps_in_epoch
from bakeoff.data.prepare import TaskData
from bakeoff.data.preprocess import RESIZING, channel_statistics
from bakeoff.errors import ConfigError
from bakeoff.evidence.provenance import are_imagenets
from bakeoff.models.architecture import (
    Architecture,
    External,
    OnBackbone,
    OnSource,
    Searched,
    architecture_digest,
    build_network,
    seen_before,
    title,
    user_files,
)
from bakeoff.models.catalog import check_model
from bakeoff.models.pretrained import backbone, check_weights, find_weights
from bakeoff.models.summary import summarise
from bakeoff.models.transfer import Stacked, blocks, blocks_at_rest
from bakeoff.records import SCHEMA, StudyFolder
from bakeoff.spec import Augmentation, CandidateSpec, Recipe, StudySpec, TaskSpec, digest
from bakeoff.spec.base import flat
from bakeoff.study.earlier import Earlier, earlier_run
from bakeoff.study.origins import on_backbone, on_source
from bakeoff.study.selection import Selection
from bakeoff.training.job import OWN, Job
from bakeoff.training.machine import Asked, Machine, Precision, resolve_precision


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the study decided once for all its runs: machine, and precision by what a recipe asks."""

    machine: Machine
    precision: Mapping[str, tuple[Precision, str]]  # "auto", "fp32", "bf16" -> used, reason


def resolve(machine: Machine) -> Resolved:
    """Decide what each precision that a recipe can ask for means on a machine."""
    return Resolved(
        machine, {name: resolve_precision(name, machine.torch_device) for name in get_args(Asked)}
    )


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
        known, given = backbone(candidate.source or ""), _weights_file(candidate, base_dir)
        file = find_weights(known, given, download=download)
        if given is not None:
            check_weights(known, file)
    for name in candidate.search.backbones if candidate.search is not None else ():
        find_weights(backbone(name), None, download=download)
    for seed in seeds:
        _earlier(candidate, seed, base_dir)


def plan_task(
    spec: StudySpec,
    task: TaskSpec,
    data: TaskData,
    *,
    folder: StudyFolder,
    selection: Selection,
    resolved: Resolved,
    base_dir: Path,
) -> list[Job]:
    """List the jobs of a task that are asked for, and those that they are built on.

    Seeds within candidates, in the study's order, but for sources, which come before what
    is built on them.
    """
    statistics = channel_statistics(data.images_NHWC, data.train)
    jobs: dict[tuple[str, int], Job] = {}
    for candidate in in_order(spec, task, selection.candidates_of(spec, task)):
        recipe = spec.recipe_for(task, candidate)
        precision, reason = resolved.precision[recipe.precision]
        mean, std = statistics if recipe.normalize == "standardize" else ((0.0,) * 3, (255.0,) * 3)
        for seed in selection.seeds_of(spec, task):
            source = jobs.get((candidate.source or "", seed))
            earlier = _earlier(candidate, seed, base_dir)
            architecture = _architecture(candidate, source, earlier, folder, base_dir)
            if isinstance(architecture, OnBackbone):
                mean, std = architecture.backbone.mean, architecture.backbone.std
            elif (base := source or earlier) is not None:  # its layers expect what they were trained on
                mean, std = base.mean, base.std
            terms = _terms(task, candidate, recipe, architecture, data)
            used = OWN if isinstance(architecture, External) else precision
            if earlier is not None:
                terms |= _leaks(earlier, data)
            elif source is not None and "source" in source.differences:  # what it has seen, this one has
                terms["source"] = source.differences["source"]
            job = Job(
                identity="",
                model_digest=architecture_digest(architecture, base_dir),
                architecture=architecture,
                study=spec.name,
                task=task,
                candidate=candidate,
                seed=seed,
                recipe=recipe,
                precision=precision,
                precision_reason=reason,
                control_digest=control_of(
                    task, recipe, used, data=data.fingerprint, split=data.split_digest, terms=terms
                ),
                differences={
                    **recipe_differences(spec.recipe_of(task), recipe),
                    **terms,
                },
                data=data,
                mean=mean,
                std=std,
                machine=resolved.machine,
                base_dir=base_dir,
            )
            jobs[candidate.name, seed] = replace(job, identity=_identity(job))
            if seed == selection.seeds_of(spec, task)[0]:
                _check_fit(job)
    return list(jobs.values())


def in_order(spec: StudySpec, task: TaskSpec, asked: Sequence[CandidateSpec]) -> list[CandidateSpec]:
    """Put candidates so that what one is built on comes before it, adding it where it was not asked for.

    Args:
        spec: The whole study, in which sources form no circle.
        task: The candidates'.
        asked: Some of its candidates.

    Returns:
        Them and their sources, each once; otherwise in the given order.
    """
    found: dict[str, CandidateSpec] = {}
    for candidate in asked:
        chain = [candidate]
        while (source := spec.source_of(task, chain[-1])) is not None:
            chain.append(source)
        found |= {link.name: link for link in reversed(chain) if link.name not in found}
    return list(found.values())


def _weights_file(candidate: CandidateSpec, base_dir: Path) -> Path | None:
    return base_dir / os.path.expanduser(candidate.weights) if candidate.weights is not None else None


def _architecture(
    candidate: CandidateSpec,
    source: Job | None,
    earlier: Earlier | None,
    folder: StudyFolder,
    base_dir: Path,
) -> Architecture:
    """Say what a candidate's network is, in the seed of its source."""
    if candidate.external is not None:
        return External(command=candidate.external)
    if candidate.search is not None:
        return Searched(search=candidate.search)
    if candidate.network is not None:
        return candidate.network
    if candidate.is_pretrained:
        return on_backbone(candidate, _weights_file(candidate, base_dir))
    if earlier is not None:
        record = earlier.record
        return on_source(
            candidate, earlier.folder, base=earlier.architecture, classes=earlier.classes,
            input_size=record.input_size, name=f"{record.candidate} ({record.study})",
            identity=record.identity,
        )  # fmt: skip
    if candidate.model is not None or source is None:
        return candidate.model or ""
    return on_source(
        candidate, folder.run(source.task.name, source.candidate.name, source.seed),
        base=source.architecture, classes=len(source.data.class_ids), input_size=source.input_size,
        name=source.candidate.name, identity=source.identity,
    )  # fmt: skip


def settings(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe for a digest: without defaults, so that a key added later changes no identity."""
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    if values.get("epochs") == 1:
        del values["epochs"]  # what a recipe without any length means
    return values


_RATES = ("source_lr", "layer_decay", "head_epochs", "unfreeze_epochs")
_MOVES = (*_RATES, "probe", "views", "head_start", "source_norms")  # how weights move, where it is said


def _identity(job: Job) -> str:
    """Digest everything that decides the weights; names, titles and published figures do not."""
    return identity_of(
        job.task, job.candidate, job.recipe, data=job.data.fingerprint, split=job.data.split_digest,
        model=job.model_digest, input_size=job.input_size, precision=job.used_precision, seed=job.seed,
        source=job.architecture.identity if isinstance(job.architecture, OnSource) else None,
    )  # fmt: skip


def identity_of(
    task: TaskSpec,
    candidate: CandidateSpec,
    recipe: Recipe,
    *,
    data: str,
    split: str,
    model: str,
    input_size: int,
    precision: str,
    seed: int,
    source: str | None,
) -> str:
    """Digest what decides a run's weights.

    Args:
        task: The run's.
        candidate: The run's.
        recipe: Of the candidate on the task.
        data: Fingerprint of the task's images.
        split: Digest of their parts.
        model: Digest of what defines the network.
        input_size: Pixels that it takes.
        precision: Of the training.
        seed: The run's.
        source: Identity of the run that its first weights come from; None for fresh or published ones.

    Returns:
        The identity, by which the run is found again.
    """
    return digest({
        "schema": SCHEMA,
        "data": data,
        "split": split,
        "model": model,
        "input_size": input_size,
        **({"resizing": RESIZING} if input_size != task.image_size else {}),
        "recipe": settings(recipe) if candidate.external is None else {"time": str(recipe.time)},
        "precision": precision,
        "seed": seed,
        **({"source": source} if source is not None else {}),
        **{key: getattr(candidate, key) for key in _MOVES if candidate.is_set(key)},
    })  # fmt: skip


def _terms(
    task: TaskSpec, candidate: CandidateSpec, recipe: Recipe, architecture: Architecture, data: TaskData
) -> dict[str, list[Any]]:
    """Name what a candidate does beside its recipe that its task does not hold equal.

    Equal seconds leave everything else free, but not to have been trained on the test images' own kin.
    """
    terms = {}
    if task.control == "recipe" and isinstance(architecture, External):
        terms["training"] = ["the recipe's", "an external program's own"]
    if task.control == "recipe" and isinstance(architecture, Searched):
        terms["training"] = ["the recipe's", "found by a search"]
    seen = seen_before(architecture)
    if isinstance(architecture, Searched) and architecture.search.backbones:
        seen = f"or not, as a search finds: {', '.join(architecture.search.backbones)}"
    if seen and (task.control == "recipe" or are_imagenets(data.class_ids)):
        terms["weights"] = ["fresh", f"pretrained {seen}"]
    if task.control == "recipe" and candidate.probe:
        terms["training"] = ["the recipe's", "a linear probe"]
    if task.control == "recipe" and candidate.views is not None and recipe.augmentation != Augmentation():
        terms["views"] = ["new ones in every epoch", f"{candidate.views} an image"]
    if task.control == "recipe" and candidate.head_start == "probe":
        terms["head"] = ["drawn at random", "a linear probe's, at first"]
    if task.control == "recipe" and candidate.source_norms == "kept":
        terms["batch normalization"] = ["the batch's statistics", "the source's"]
    rates = [f"{key} {getattr(candidate, key):g}" for key in _RATES if candidate.is_set(key)]
    if task.control == "recipe" and rates:
        terms["rates"] = ["the recipe's for all weights", ", ".join(rates)]
    return terms


def _earlier(candidate: CandidateSpec, seed: int, base_dir: Path) -> Earlier | None:
    """Find the run of an earlier study that a candidate stands on, if it does."""
    if not candidate.is_on_earlier:
        return None
    return earlier_run(candidate.source or "", seed, base_dir)


def _leaks(earlier: Earlier, data: TaskData) -> dict[str, list[Any]]:
    """Say whether an earlier run has learned from what are test images here."""
    if earlier.seen is None:
        return {"source": ["trained on this split", "trained on images that are not known"]}
    count = sum(data.digests[index] in earlier.seen for index in data.test)
    if not count:
        return {}
    return {"source": ["trained on this split", f"trained on {count} of {len(data.test)} test images"]}


def _check_fit(job: Job) -> None:
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
    idle = [key for key in _RATES if candidate.is_set(key)]
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


def control_of(
    task: TaskSpec, recipe: Recipe, precision: str, *, data: str, split: str, terms: Mapping[str, Any]
) -> str:
    """Digest what a task holds equal; candidates are ranked among equal digests.

    Args:
        task: Which task.
        recipe: Of a candidate on it.
        precision: Of the training.
        data: Fingerprint of the task's images.
        split: Digest of their parts.
        terms: What the candidate does beside its recipe that the task does not hold equal.

    Returns:
        The digest.
    """
    images = {"data": data, "split": split, "image_size": task.image_size, **terms}
    if task.control == "budget":
        return digest({**images, "seconds": recipe.length.amount})
    return digest({**images, "recipe": settings(recipe), "precision": precision})


def recipe_differences(common: Recipe, own: Recipe) -> dict[str, list[Any]]:
    """Name the keys in which a candidate's recipe is not its task's, with both values."""
    left, right = (flat(recipe.model_dump(mode="json")) for recipe in (common, own))
    return {
        key: [left.get(key), right.get(key)]
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    }
