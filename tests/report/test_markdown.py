from __future__ import annotations

from bakeoff.evidence.summarise import summarise_study
from bakeoff.evidence.words import p_text
from bakeoff.records import StudyFolder
from bakeoff.report.markdown import study_markdown
from bakeoff.report.views import study_view


def _markdown(folder: StudyFolder) -> list[str]:
    return study_markdown(study_view(folder, images=False)).splitlines()


def test_a_pull_request_gets_verdicts_results_pairs_and_how_to_repeat_it(sound: StudyFolder) -> None:
    lines = _markdown(sound)
    view = study_view(sound, images=False)
    for verdict in view.verdicts:
        assert f"**{verdict.said}**" in "\n".join(lines).replace("&lt;", "<")
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 2 * (2 + 3)
    assert len({line.count("|") for line in tables[:5]}) == 1
    assert "bakeoff run sketch.toml" in lines
    assert not [line for line in lines if line.startswith("![")]


def test_every_pair_that_is_told_apart_is_a_line_with_its_better_one_first(sound: StudyFolder) -> None:
    task = summarise_study(sound).tasks[0]
    apart = [pair for pair in task.comparisons if pair.told_apart]
    text = "\n".join(_markdown(sound)).replace("&lt;", "<")
    assert apart
    for pair in apart:
        better, worse = (pair.first, pair.second) if pair.difference > 0 else (pair.second, pair.first)
        words = f"{100 * abs(pair.difference):.1f} points, {p_text(pair.p_holm)}"
        assert f"- {better} is better than {worse}: +{words}" in text


def test_hostile_names_and_missing_runs_stay_words(troubled: StudyFolder) -> None:
    text = "\n".join(_markdown(troubled))
    assert "<script" not in text
    assert "**Not finished.** Missing: " in text
