"""What a study and an external program hand each other."""

import csv
import json

import numpy as np
import pytest

from bakeoff.errors import ConfigError
from bakeoff.records.exchange import Exchange, Images

CLASSES = ["a", "b", "c"]
LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 1, 2, 0, 1, 2])
PARTS = {
    "train": np.array([0, 2, 4, 6, 7]),
    "validation": np.array([1, 3]),
    "test": np.array([5, 8, 9, 10, 11]),
}


def images():
    slope_HWC = np.arange(4 * 8 * 3).reshape(4, 8, 3)
    values_NHWC = (slope_HWC + 12 * np.arange(len(LABELS))[:, None, None, None]).astype(np.uint8)
    return Images(
        images_NHWC=values_NHWC, labels_N=LABELS, parts=PARTS, class_ids=CLASSES,
        files=[f"{CLASSES[label]}/{i}.png" for i, label in enumerate(LABELS)],
        class_names=["an a", "a b", "a c"],
    )  # fmt: skip


@pytest.fixture
def exchange(tmp_path):
    found = Exchange(tmp_path / "external")
    found.hand_over(images(), {"identity": "x", "seconds": 5.0}, seed=3)
    return found


def right():
    """The one-hot answer that a program gives which sees through the images."""
    return {part: np.eye(3)[LABELS[PARTS[part]]] for part in ("validation", "test")}


def handed(exchange):
    """Which images of the study the rows of the test array are."""
    given_NHWC = np.load(exchange.path / "test_images.npy")
    return [int((images().images_NHWC == one).all((1, 2, 3)).argmax()) for one in given_NHWC]


def answer(exchange, values, cost=None):
    np.savez(exchange.path / "probabilities.npz", **values)
    (exchange.path / "cost.json").write_text(json.dumps({"seconds": 1.0} if cost is None else cost))
    return exchange.read_answer(images(), 3, 10.0)


def test_arrays_and_labels_are_those_of_the_parts(exchange):
    for part in ("train", "validation"):
        given_NHWC = np.load(exchange.path / f"{part}_images.npy")
        assert given_NHWC.dtype == np.uint8
        assert (given_NHWC == images().images_NHWC[PARTS[part]]).all()
        assert np.load(exchange.path / f"{part}_labels.npy").tolist() == LABELS[PARTS[part]].tolist()
    request = json.loads(exchange.request_path.read_text())
    assert (request["schema"], request["seconds"], request["class_names"]) == (1, 5.0, ["an a", "a b", "a c"])
    assert request["parts"]["test"] == {"count": 5, "images": "test_images.npy"}


def test_nothing_that_is_handed_over_tells_the_class_of_a_test_image(exchange):
    assert sorted(handed(exchange)) == PARTS["test"].tolist() != handed(exchange)
    assert not (exchange.path / "test_labels.npy").exists()
    rows = list(csv.DictReader((exchange.path / "images.csv").read_text().splitlines()))
    assert [tuple(row.values()) for row in rows if row["part"] == "test"] == [
        ("test", str(row), "", "", "") for row in range(5)
    ]
    assert tuple(rows[1].values()) == ("train", "1", "b/2.png", "b", "1")
    texts = [path.read_text() for path in exchange.path.glob("*.[cj]s*")]
    assert not any(f"/{index}.png" in text for index in PARTS["test"] for text in texts)


def test_an_answer_comes_back_in_the_order_of_the_study(exchange):
    values = {"validation": right()["validation"], "test": np.eye(3)[LABELS[handed(exchange)]]}
    found = answer(exchange, values, {"seconds": 2, "parameters": 7, "version": "mine\n 2"})
    for part, expected in right().items():
        assert (found.probabilities[part] == expected).all()
        assert found.probabilities[part].dtype == np.float32
    assert (found.seconds, found.parameters, found.version) == (2.0, 7, "mine 2")


def test_arrays_may_come_one_by_one(exchange):
    answer(exchange, right())
    expected = exchange.read_answer(images(), 3, 10.0)
    (exchange.path / "probabilities.npz").unlink()
    for part, values in right().items():
        np.save(exchange.path / f"{part}.npy", values)
    found = exchange.read_answer(images(), 3, 10.0)
    assert all((found.probabilities[part] == expected.probabilities[part]).all() for part in right())


def test_half_precision_is_near_enough_to_one(exchange):
    thirds = {"validation": np.full((2, 3), 1 / 3, np.float16), "test": np.full((5, 3), 1 / 3, np.float16)}
    assert answer(exchange, thirds).probabilities["test"].shape == (5, 3)


NAN = np.array([[0.5, 0.5, 0], [np.nan, 1, 0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": np.eye(3)[[0, 1, 2]]}, r"test: got an array of shape \(3, 3\), expected \(5, 3\)"),
        ({"test": np.eye(4)[[0, 1, 2, 0, 1]]}, r"got an array of shape \(5, 4\), expected \(5, 3\)"),
        ({"validation": np.zeros(2)}, r"probabilities, validation: got an array of shape \(2,\)"),
        ({"validation": NAN}, "got a number that is not finite in row 1, expected 0 to 1"),
        ({"validation": np.full((2, 3), 0.25)}, "got a sum of 0.75 in row 0, expected 1 in each row"),
        ({"validation": np.array([[1.5, -0.5, 0]] * 2)}, "got -0.5, expected numbers from 0 to 1"),
        ({"validation": np.array([["a", "b", "c"]] * 2)}, "got no array of numbers"),
        ({"validation": np.array([[None] * 3] * 2)}, "probabilities.npz: cannot be read as numbers"),
        ({"test": ...}, "probabilities.npz: got no array 'test', expected one"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_probabilities_is_refused_in_one_line(exchange, changes, message):
    values = {name: value for name, value in (right() | changes).items() if value is not ...}
    with pytest.raises(ConfigError, match=message) as caught:
        answer(exchange, values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ({}, "cost.json, seconds: got None, expected a number from 0 to the 10.0"),
        ({"seconds": True}, "seconds: got True"),
        ({"seconds": -1}, "seconds: got -1"),
        ({"seconds": 60}, "seconds: got 60"),
        ({"seconds": float("nan")}, "seconds: got nan"),
        ({"seconds": 1, "parameters": 0.5}, "parameters: got 0.5, expected a whole number"),
        ({"seconds": 1, "version": 2}, "version: got 2, expected a text"),
        ([1], "cost.json: got none, or no JSON table"),
    ],
)
def test_a_cost_that_is_none_is_refused_in_one_line(exchange, cost, message):
    with pytest.raises(ConfigError, match=message):
        answer(exchange, right(), cost)


def test_files_that_are_missing_or_damaged_are_told(exchange):
    with pytest.raises(ConfigError, match=r"probabilities.npz: got none, expected one with the arrays"):
        exchange.read_answer(images(), 3, 10.0)
    (exchange.path / "probabilities.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ConfigError, match=r"probabilities.npz: cannot be read as numbers"):
        exchange.read_answer(images(), 3, 10.0)
    np.savez(exchange.path / "probabilities.npz", **right())
    with pytest.raises(ConfigError, match=r"cost.json: got none"):
        exchange.read_answer(images(), 3, 10.0)


def test_only_a_program_of_this_very_run_that_ended_by_itself_has_ended(exchange):
    assert exchange.ended("x") is None
    exchange.ended_path.write_text('{"code": 0, "seconds": 1.0, "peak_memory_bytes": 1}')
    assert exchange.ended("x")["code"] == 0
    assert exchange.ended("another") is None
    exchange.ended_path.write_text('{"code": 0, "sec')
    assert exchange.ended("x") is None


def test_a_task_without_test_images_is_handed_over_too(tmp_path):
    some = Images(**{**vars(images()), "parts": {**PARTS, "test": np.zeros(0, np.int64)}})
    exchange = Exchange(tmp_path / "external")
    exchange.hand_over(some, {}, seed=0)
    assert np.load(exchange.path / "test_images.npy").shape == (0, 4, 8, 3)
    np.savez(exchange.path / "probabilities.npz", validation=right()["validation"])
    (exchange.path / "cost.json").write_text('{"seconds": 1}')
    assert set(exchange.read_answer(some, 0, 10.0).probabilities) == {"validation"}
