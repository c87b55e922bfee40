from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bakeoff.records import StudyFolder
from bakeoff.report.page import render_page
from bakeoff.report.views import study_view

VOID = {"meta", "img", "link", "br", "hr", "input", "path", "circle", "rect", "polygon"}


class Outline(HTMLParser):
    """Reads a page into what a test asks about, and notes tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.setdefault(self.open[-1] if self.open else "", []).append(" ".join(data.split()))


@pytest.fixture(scope="module")
def sound_page(page_of: dict[str, Path]) -> str:
    return page_of["sound"].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def troubled_page(page_of: dict[str, Path]) -> str:
    return page_of["troubled"].read_text(encoding="utf-8")


def test_the_page_has_these_parts_in_this_order(sound_page: str) -> None:
    outline = Outline(sound_page)
    assert outline.mistakes == []
    assert outline.words["h1"] == ["A study made for tests"]
    assert outline.words["h2"] == [
        "What was compared, and under which control",
        "5 classes", "16 classes",
        "Do it again, check it, use it",
    ]  # fmt: skip
    assert outline.words["h3"] == 2 * [
        "Data", "Can they be told apart?", "Can its confidence be trusted?", "What is taken for what",
        "What it costs", "The networks",
    ]  # fmt: skip
    charts = [value for _, name, value in outline.attributes if name == "data-chart"]
    kinds = ("accuracy", "cost", "validation-accuracy", "validation-loss", "train-accuracy", "train-loss")
    assert [chart for chart in charts if "reliability" not in chart] == [
        f"task-{task}-{kind}" for task in (1, 2) for kind in kinds
    ]
    assert sorted(chart for chart in charts if "reliability" in chart) == [
        f"task-{task}-reliability-{number}" for task in (1, 2) for number in (1, 2, 3)
    ]
    assert outline.tags["img"] > 20


@pytest.mark.parametrize("kind", ["Table", "Figure"])
def test_tables_and_figures_are_numbered_through_the_page(
    sound_page: str, troubled_page: str, kind: str
) -> None:
    for page in (sound_page, troubled_page):
        numbers = [int(number) for number in re.findall(rf"<b>{kind} (\d+)\.</b>", page)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 3


def test_every_link_inside_the_page_has_its_target(sound_page: str, troubled_page: str) -> None:
    for page in (sound_page, troubled_page):
        attributes = Outline(page).attributes
        ids = [value for _, name, value in attributes if name == "id"]
        assert len(ids) == len(set(ids))
        assert {value[1:] for tag, name, value in attributes if (tag, name) == ("a", "href")} <= set(ids)


def test_nothing_is_loaded_from_elsewhere(sound_page: str) -> None:
    outline = Outline(sound_page)
    sources = [value for _, name, value in outline.attributes if name in ("src", "srcset", "data")]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert outline.tags["link"] == outline.tags["iframe"] == 0
    assert "default-src 'none'" in sound_page


def test_names_are_escaped_wherever_they_stand(troubled_page: str) -> None:
    assert "<script>alert" not in troubled_page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;!-- &amp; &#34;co&#34;" in troubled_page
    assert "&lt;/script&gt;&lt;script&gt;alert(&#39;y&#39;)" in troubled_page
    outline = Outline(troubled_page)
    assert outline.mistakes == []
    # Two for the scripts, one for the charts' configuration, and one for each chart's data.
    assert outline.tags["script"] == 3 + troubled_page.count("data-chart=")


def test_what_a_chart_shows_is_in_the_page_as_json(troubled_page: str) -> None:
    found = re.findall(r'<script type="application/json" id="(task-[^"]+)">(.*?)</script>', troubled_page)
    specs = {key: json.loads(text) for key, text in found}
    names = [row["candidate"] for layer in specs["task-1-cost"]["layer"] for row in layer["data"]["values"]]
    assert "<script>alert('x')<!-- & \"co\"" in names


def test_equal_records_give_equal_bytes(sound: StudyFolder, sound_page: str) -> None:
    assert render_page(study_view(sound)) == sound_page


def test_divergence_and_missing_runs_are_said_on_the_page(troubled_page: str) -> None:
    assert "Failures and divergences" in troubled_page
    assert "the loss became nan at step 54" in troubled_page
    assert "This study is not finished." in troubled_page


def test_every_network_has_its_drawing_and_its_layers(sound_page: str) -> None:
    assert Outline(sound_page).tags["details"] >= 6
    assert sound_page.count('class="bkf-net"') == 6
    assert sound_page.count("in the order of computation.") >= 6


def test_values_on_a_phone_carry_their_columns_name(sound_page: str) -> None:
    labels = {value for _, name, value in Outline(sound_page).attributes if name == "data-label"}
    assert {"Test accuracy: ours", "Test loss, nats: published", "Runs", "Corrected p"} <= labels


def test_200_classes_and_a_single_epoch_make_a_page(tmp_path: Path) -> None:
    from studies import CandidateSketch, TaskSketch, make_study

    task = [TaskSketch(name="200 classes", classes=200, test_images=400, validation_images=200)]
    net = CandidateSketch(name="n", skill=3.0)
    folder = make_study(tmp_path / "s", tasks=task, candidates=[net], epochs=1)
    view = study_view(folder)
    assert "200 classes" in view.tasks[0].words
    assert len(view.tasks[0].confusions) <= 8
    assert Outline(render_page(view)).mistakes == []
