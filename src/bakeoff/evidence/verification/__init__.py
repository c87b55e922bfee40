"""Whether a study is what its lock and its records say, check by check, from its folder alone.

- `check`: what a check found, and the verdict over all of them. `ended`: the runs that are looked at.
- `files`: the lock and the files beside it; the tables, made again. `runs`: each run's record against
  its predictions and its task. `split`: the parts of the images, and how often the test images were read.
- `records`: all of these, one after the other.

What needs the images, the networks or the weights is checked by `study.verify`.
"""

from bakeoff.evidence.verification.check import Check, Findings, Verification, guarded
from bakeoff.evidence.verification.records import check_records

__all__ = ["Check", "Findings", "Verification", "check_records", "guarded"]
