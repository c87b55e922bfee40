"""From a study and its prepared images to jobs, each with its identity and its control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from bakeoff.data.prepare import TaskData
from bakeoff.data.preprocess import channel_statistics
from bakeoff.evidence.provenance import are_imagenets
from bakeoff.models.architecture import (
    Architecture,
    External,
    OnBackbone,
    Searched,
    architecture_digest,
    seen_before,
)
from bakeoff.records import StudyFolder
from bakeoff.spec import Augmentation, CandidateSpec, Recipe, StudySpec, TaskSpec
from bakeoff.study.earlier import Earlier, earlier_of
from bakeoff.study.identity import RATES, control_of, identity_of_job, recipe_differences
from bakeoff.study.origins import on_backbone, on_source, weights_file
from bakeoff.study.refusals import check_fit
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
            earlier = earlier_of(candidate, seed, base_dir)
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
            jobs[candidate.name, seed] = replace(job, identity=identity_of_job(job))
            if seed == selection.seeds_of(spec, task)[0]:
                check_fit(job)
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
        return on_backbone(candidate, weights_file(candidate, base_dir))
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
    rates = [f"{key} {getattr(candidate, key):g}" for key in RATES if candidate.is_set(key)]
    if task.control == "recipe" and rates:
        terms["rates"] = ["the recipe's for all weights", ", ".join(rates)]
    return terms


def _leaks(earlier: Earlier, data: TaskData) -> dict[str, list[Any]]:
    """Say whether an earlier run has learned from what are test images here."""
    if earlier.seen is None:
        return {"source": ["trained on this split", "trained on images that are not known"]}
    count = sum(data.digests[index] in earlier.seen for index in data.test)
    if not count:
        return {}
    return {"source": ["trained on this split", f"trained on {count} of {len(data.test)} test images"]}
