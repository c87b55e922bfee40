"""A study from its file to its records: plan, run, resume, and what it will cost.

- `selection`: which tasks, candidates and seeds a command asks for. `plan`: the jobs; `identity`: by
  what a run is found again and candidates are compared; `refusals`: what can be seen to fail before.
  `lock`: what a folder has promised to hold constant.
- `runner`: has done what is missing; `images`: what it is done on; `bookkeeping`: what is next, and
  what is written when a run has ended. `progress`: what a listener hears.
  `estimate`: time, memory and disk, by timing a few steps.
- `engines`: where runs are computed, one after the other or many at once.
- `origins`, `earlier`: what a candidate on a trained network stands on, here or in another study.
- `single`, `searched`, `pick`: studies that are laid out by a few wishes and a look at the images;
  `defaults`: what is chosen in them.
- `trained`: a run's network, ready to be used; `fitted`: apart from its folder, so that it can be
  pickled.
- `verify`, `verify_images`, `reevaluate`, `retrain`: whether a study is what it says, from its folder,
  its images, its weights, or a training done again.
- What is kept for the report. `checks`: what is wrong with the images; `examples`: small copies of
  some; `attribution`: where each candidate looked.
"""

from bakeoff.study.engines import EngineSettings
from bakeoff.study.estimate import Estimate, estimate_study
from bakeoff.study.images import DataOptions
from bakeoff.study.progress import Quiet, StudyListener
from bakeoff.study.runner import StudyOutcome, run_study
from bakeoff.study.selection import Selection

__all__ = [
    "DataOptions",
    "EngineSettings",
    "Estimate",
    "Quiet",
    "Selection",
    "StudyListener",
    "StudyOutcome",
    "estimate_study",
    "run_study",
]
