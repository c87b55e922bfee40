"""A card says what the records say, with intervals, and what they do not say is said to be unknown."""

import re
from dataclasses import replace

import pytest
import studies

from bakeoff.deploy.card import Card, card_of, render_card
from bakeoff.deploy.quantize import Quantized, Speed
from bakeoff.errors import ConfigError
from bakeoff.evidence.intervals import wilson
from bakeoff.records import StudyFolder


@pytest.fixture(scope="module")
def card(exported, colours):
    return card_of(exported, colours, colours.run("colours", "plain", 0).read())


def section(text, title):
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_it_has_the_sections_of_the_paper_in_order(card):
    assert re.findall(r"^## (.*)$", render_card(card), flags=re.MULTILINE) == [
        "Model details", "Intended use", "How to use it", "Training data", "Training", "Evaluation data",
        "Results", "Where it is weakest", "What was proved of this file", "Limits",
    ]  # fmt: skip


def test_equal_records_give_equal_bytes_and_they_are_those_beside_the_file(card, exported):
    assert render_card(card) == render_card(card) == exported.card.read_text()


def test_accuracy_comes_with_wilsons_interval_over_images(card, colours):
    record = card.record
    right = round(record.metric("test_accuracy") * 6)
    interval = wilson(right, 6)
    ends = f"{100 * interval.low:.1f} % to {100 * interval.high:.1f} %"
    line = f"| test accuracy | {100 * right / 6:.1f} % | {ends} | 6 images |"
    assert line in section(render_card(card), "Results")


def test_other_seeds_are_told_beside_it(card):
    assert "The 2 finished seeds of this candidate have test accuracies of" in render_card(card)
    assert "finished seeds" not in render_card(replace(card, seeds=card.seeds[:1]))


def test_pretrained_weights_are_named_with_their_licence(card):
    fresh = section(render_card(card), "Model details")
    assert "All weights were trained by this study" in fresh
    origin = {
        "network": "timm:resnet18", "seen": "on ImageNet", "trained_on": "a1_in1k",
        "license": "apache-2.0", "weights_sha256": "ab12",
    }  # fmt: skip
    text = render_card(replace(card, record=replace(card.record, pretrained=origin)))
    details = section(text, "Model details")
    for said in ("`timm:resnet18`", "trained on ImageNet", "apache-2.0", "`ab12`"):
        assert said in details
    assert "may be among what they were trained on" not in text
    imagenet = replace(card.task, class_ids=["n01443537", "n01629819", "n01641577"])
    text = render_card(replace(card, record=replace(card.record, pretrained=origin), task=imagenet))
    assert "may be among what they were trained on" in section(text, "Evaluation data")


def test_leaks_and_files_left_out_are_told(card):
    task = replace(
        card.task, details={"leaks": {"train-test": 2, "validation-test": 1, "train-validation": 5}},
        excluded=[{"file": "a.png", "reason": "an empty file"}],
    )  # fmt: skip
    text = render_card(replace(card, task=task))
    assert "3 of the test images are byte for byte among" in section(text, "Evaluation data")
    assert "1 files could not be read" in section(text, "Training data")


def test_int8_is_told_with_its_paired_test(card):
    cost = Quantized(
        what="all layers", tried=1, validation_before=0.9, validation_after=0.9,
        test_before=0.91, test_after=0.9,
        before_only=15, after_only=5, low=-0.02, high=0.0, p=0.0414, images=1000,
        speeds=(Speed(batch=64, before=0.1, after=0.05, ratio=2.0),), bytes_before=100, bytes_after=30,
    )  # fmt: skip
    text = section(render_card(replace(card, exported=replace(card.exported, quantized=cost))), "Results")
    assert "-1.00 points" in text
    assert "p = 0.041" in text
    assert "2.00 times as fast" in text


def test_a_class_name_is_never_taken_for_markdown(card):
    names = ["a|b", "*c*", "<img src=x>"]
    about = replace(card.exported.about, class_names=names)
    text = render_card(replace(card, exported=replace(card.exported, about=about)))
    assert "a\\|b, \\*c\\*, \\<img src=x\\>" in text


def test_a_temperature_is_told(card):
    about = replace(card.exported.about, temperature=1.3)
    assert "divides its logits by 1.3" in render_card(
        replace(card, exported=replace(card.exported, about=about))
    )


def test_records_without_environment_metrics_and_predictions_still_give_a_card(exported, tmp_path):
    folder = studies.make_study(tmp_path / "study")
    record = next(one for one in folder.records() if one.status == "finished")
    bare = replace(record, environment={}, metrics={}, recipe={}, ended="", precision={}, test_readings=[])
    task = folder.read_task(record.task)
    card = Card(exported=exported, record=bare, task=task, test=None, seeds=[bare], description="")
    text = render_card(card)
    assert "an unrecorded machine" in text
    assert "| test accuracy | not recorded |" in text
    assert "nan" not in text.lower().replace("finance", "")


def test_a_study_without_the_task_is_refused(exported, card, tmp_path):
    with pytest.raises(ConfigError, match="no longer has the task"):
        card_of(exported, StudyFolder(tmp_path), card.record)


def test_how_to_use_a_file_says_what_it_does_not_know_and_which_kind_runs_code(card):
    assert "three channels of 8 bits only" in section(render_card(card), "How to use it")
    for form, runs in (("torch-export", True), ("safetensors", False)):
        text = section(
            render_card(replace(card, exported=replace(card.exported, form=form))), "How to use it"
        )
        assert ("open such a file only if you trust where it comes from" in text) == runs


def test_last_digits_are_promised_of_fp32_alone(card):
    int8 = replace(card.exported, about=replace(card.exported.about, quantized="int8"))
    assert "by up to 0.0001 a file may differ" in section(render_card(card), "Limits")
    assert "a file may differ" not in render_card(replace(card, exported=int8))
