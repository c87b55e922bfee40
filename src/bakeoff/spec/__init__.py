"""The study file as frozen, validated objects; nothing here runs anything.

- `base`: the one strict base of all settings, and pydantic's errors as one line.
- `recipe`: everything that is not architecture. `candidate`, `task`, `study`: who
  competes, on what, and the file that holds it all.
- `macro`: a network described layer by layer. `search`: one that is searched for; `space`: among what.
- `reference`: every key of that file, what it accepts and what it means.
- `load`: from a TOML file or a shipped name to a `StudySpec`; `write`: back to a file.
- `digest`: the identities by which controls are compared and runs are found again.
- `shipped/`: the studies that come with the package.
"""

from bakeoff.spec.candidate import CandidateSpec, Published
from bakeoff.spec.digest import canonical_json, digest
from bakeoff.spec.load import load_study, shipped_studies, study_from_dict
from bakeoff.spec.recipe import Augmentation, Optimizer, Recipe
from bakeoff.spec.study import StudySpec
from bakeoff.spec.task import TaskSpec

__all__ = [
    "Augmentation",
    "CandidateSpec",
    "Optimizer",
    "Published",
    "Recipe",
    "StudySpec",
    "TaskSpec",
    "canonical_json",
    "digest",
    "load_study",
    "shipped_studies",
    "study_from_dict",
]
