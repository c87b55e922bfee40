"""Whether a study's page is what its records give, and whether somebody has edited it.

A page ends with a digest of itself, so a page that was changed by hand is told from one that
another version of bakeoff has written.
"""

from __future__ import annotations

from bakeoff.errors import BakeoffError
from bakeoff.evidence.summarise import gather
from bakeoff.evidence.verification import Check, Findings
from bakeoff.records import StudyFolder
from bakeoff.report.page import render_page, seal_of
from bakeoff.report.views import study_view


def check_page(folder: StudyFolder) -> Check:
    """Draw a study's page again and compare it byte for byte.

    Args:
        folder: The study's.

    Returns:
        What was found; a page of another version cannot be compared, which is no difference.
    """
    found = Findings("the page", "pages")
    try:
        there = folder.report_path.read_text(encoding="utf-8")
    except FileNotFoundError:
        found.unchecked.append("there is no report.html")
        return found.close()
    except (OSError, UnicodeDecodeError) as error:
        found.differing.append(f"report.html cannot be read: {error}")
        return found.close()
    _, seal = seal_of(there)
    if seal == "broken":
        found.differing.append("report.html was changed after it was written: its own digest does not fit")
        return found.close()
    try:
        evidence = gather(folder)
        same = any(
            render_page(study_view(folder, images=images, evidence=evidence)) == there
            for images in (True, False)
        )
    except BakeoffError as error:
        found.unchecked.append(f"report.html cannot be drawn again: {error}")
        return found.close()
    if same:
        found.agreed += 1
    elif seal == "fits":
        found.unchecked.append(
            "report.html is whole, but not what this version of bakeoff and vl-convert draws from these "
            "records: another version has written it, or runs have ended since; "
            "'bakeoff report' draws it again"
        )
    else:
        found.unchecked.append(
            "report.html is not what this version draws from these records; it is of a version whose pages "
            "held no digest of themselves, so it cannot be told whether it was edited"
        )
    return found.close()
