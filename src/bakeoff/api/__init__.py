"""The verbs of bakeoff as Python functions with typed results, at home in a notebook.

- `studies`: a study from its file. `one_line`: one without a file, `train`, `search` and `pick`.
- `results`: what a study left. `compared`, `verified`, `checked`: what is asked of it, or of images.
- `places`: where data and networks lie, as people write it.

Loading, exporting and serving stand one layer higher, in `bakeoff.use`. Nothing is imported here that
needs torch before a verb is called.
"""

from __future__ import annotations

from bakeoff.api.checked import CheckResult, check, finding_names
from bakeoff.api.compared import Comparison, compare
from bakeoff.api.one_line import OneLinePlan, pick, plan_pick, plan_search, plan_training, search, train
from bakeoff.api.places import Where
from bakeoff.api.results import StudyResult, open_study
from bakeoff.api.studies import estimate, run, study_arguments
from bakeoff.api.verified import verify

__all__ = [
    "CheckResult",
    "Comparison",
    "OneLinePlan",
    "StudyResult",
    "Where",
    "check",
    "compare",
    "estimate",
    "finding_names",
    "open_study",
    "pick",
    "plan_pick",
    "plan_search",
    "plan_training",
    "run",
    "search",
    "study_arguments",
    "train",
    "verify",
]  # fmt: skip
