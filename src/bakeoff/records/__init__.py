"""What a study leaves on disk, and the only code that writes it.

- `atomic`: whole files or none. `claim`: one process at a time in a study's folder.
- `run`: what one run leaves (record, predictions, weights, checkpoint). `trials`: the journal of one
  that searches.
- `study`: the folder of a study: its lock, its tasks, its runs. `digests`: what the lock knows of
  files.
- `checks`: what was found in a task's images. `label_errors`: images worth a look. `attribution`: heat
  maps of a task's candidates, side by side.
- `exchange`: what a study and an external program hand each other.

Others fill these; nothing else writes into a study's folder. Numbers in, numbers
out: weights and checkpoints pass through here as files that others produced.
"""

from bakeoff.records.atomic import writing
from bakeoff.records.attribution import Attributions, Explanation, ShownImage
from bakeoff.records.claim import claim_folder
from bakeoff.records.label_errors import LabelErrors
from bakeoff.records.run import SCHEMA, Predictions, RunFolder, RunRecord
from bakeoff.records.study import StudyFolder, TaskRecord

__all__ = [
    "SCHEMA",
    "Attributions",
    "Explanation",
    "LabelErrors",
    "Predictions",
    "RunFolder",
    "RunRecord",
    "ShownImage",
    "StudyFolder",
    "TaskRecord",
    "claim_folder",
    "writing",
]
