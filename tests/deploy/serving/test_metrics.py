from __future__ import annotations

import re

from bakeoff.deploy.serving.metrics import Metrics, resident_bytes

# A line of the text format 0.0.4: a name, labels in braces, a number.
LINE = re.compile(r'^[a-z_]+(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*\})? -?[0-9.e+-]+$')


def test_a_histogram_is_cumulative_and_agrees_with_its_count_and_sum() -> None:
    metrics = Metrics()
    for images in (1, 3, 3, 64, 70):
        metrics.observe("bakeoff_batch_images", images)
    lines = metrics.text().splitlines()
    found = [line.split('le="')[1] for line in lines if line.startswith("bakeoff_batch_images_bucket")]
    assert found == ['1"} 1', '2"} 1', '4"} 3', '8"} 3', '16"} 3', '32"} 3', '64"} 4', '+Inf"} 5']
    assert "bakeoff_batch_images_sum 141" in lines
    assert "bakeoff_batch_images_count 5" in lines


def test_every_line_is_one_that_prometheus_reads_whatever_a_label_holds() -> None:
    metrics = Metrics()
    metrics.add("bakeoff_images_total", 2, model='a "b"\\\nc')
    metrics.observe("bakeoff_request_seconds", 0.3, path="/predict")
    text = metrics.text(bakeoff_queue_images=7)
    assert text.endswith("\n")
    assert [line for line in text.splitlines() if not line.startswith("# ") and not LINE.match(line)] == []
    assert r'bakeoff_images_total{model="a \"b\"\\\nc"} 2' in text
    assert "bakeoff_queue_images 7" in text


def test_memory_is_that_of_this_process() -> None:
    assert 10 * 2**20 < resident_bytes() < 2**36
