"""All checks that a study's folder allows by itself: no images, no network, no torch."""

from __future__ import annotations

from bakeoff.evidence.verification.check import Check, guarded
from bakeoff.evidence.verification.ended import Contents
from bakeoff.evidence.verification.files import check_files, check_lock, check_tables
from bakeoff.evidence.verification.runs import check_metrics, check_probabilities, check_runs
from bakeoff.evidence.verification.split import check_readings, check_split


def check_records(contents: Contents) -> list[Check]:
    """Check a study from its folder alone.

    Args:
        contents: What `read_ended` returned.

    Returns:
        The checks, from the files to what they say.
    """
    checks = (
        check_lock, check_files, check_runs, check_metrics, check_probabilities, check_split,
        check_readings, check_tables,
    )  # fmt: skip
    return [guarded(check, contents) for check in checks]
