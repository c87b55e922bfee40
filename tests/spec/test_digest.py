"""Identities: golden values by another way, and what may not matter."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.spec import Augmentation, Optimizer, Recipe, canonical_json, digest, study_from_dict

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def by_hand(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def test_a_digest_is_what_the_sha256sum_tool_says():
    # printf '{"a":[1.0,null],"b":1}' | sha256sum | cut -c1-16
    assert digest({"b": 1, "a": (1.0, None)}) == "8075c44d7e50dec3"


@given(plain)
def test_a_digest_is_sixteen_digits_of_the_sha256_of_sorted_json(value):
    assert digest(value) == by_hand(value)


DEFAULTS = {
    "epochs": None, "steps": None, "time": None, "batch_size": 64,
    "optimizer": {
        "name": "adam", "lr": 0.001, "weight_decay": 0.0, "momentum": 0.9,
        "bias_factor": 1.0, "betas": [0.9, 0.999], "eps": 1e-07,
    },
    "schedule": "constant", "warmup": 0.0, "clip_norm": None, "label_smoothing": 0.0, "ema": None,
    "augmentation": {"crop": 0, "flip": "none", "mixup": 0.0, "cutmix": 0.0},
    "normalize": "standardize", "sizes": [], "test_views": "one", "norm_statistics": "moving",
    "class_weights": "none", "sampler": "uniform",
    "precision": "auto", "compile": False, "early_stop": None,
}  # fmt: skip


def test_the_digest_of_a_recipe_is_that_of_all_its_keys_written_out():
    assert digest(Recipe()) == by_hand(DEFAULTS)
    assert digest(Recipe(time="10m", batch_size=8)) == by_hand({**DEFAULTS, "time": "600s", "batch_size": 8})


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Recipe(), Recipe(batch_size=64)),  # a default left out
        (Recipe(epochs=5), Recipe(epochs=5.0)),
        (Recipe(time="10m"), Recipe(time="600s")),
        (Recipe(optimizer=Optimizer()), Recipe(optimizer={"lr": 1e-3, "name": "adam"})),
        (Recipe(augmentation={"flip": True}), Recipe(augmentation=Augmentation(flip="random"))),
        (Recipe(epochs=2, batch_size=8), Recipe(batch_size=8, epochs=2)),
        (Recipe(steps=9, epochs=None), Recipe(epochs=4).overlaid({"steps": 9}, "here")),
    ],
)
def test_recipes_that_say_the_same_have_one_digest(a, b):
    assert digest(a) == digest(b)


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": 2}, {"steps": 1}, {"batch_size": 65}, {"optimizer": {"lr": 0.0010000001}},
        {"schedule": "cosine"}, {"augmentation": {"crop": 1}}, {"precision": "fp32"}, {"compile": True},
        {"early_stop": {"patience": 1}}, {"normalize": "scale"}, {"sampler": "balanced"},
        {"class_weights": "balanced"}, {"ema": 0.9},
    ],
)  # fmt: skip
def test_every_key_of_a_recipe_changes_its_digest(other):
    assert digest(Recipe().overlaid(other, "here")) != digest(Recipe())


def test_settings_inside_plain_values_count_as_their_values():
    assert digest({"recipe": Recipe(), "seed": 0}) == by_hand({"recipe": DEFAULTS, "seed": 0})


def test_a_study_read_back_from_its_lock_has_the_same_digest():
    values = {
        "name": "s", "recipe": {"time": "100000.5s", "optimizer": {"betas": [0.5, 0.9]}},
        "task": [{"name": "t", "data": "digits", "classes": ["a", "b"]}],
        "candidate": [{"name": "c", "model": "m", "recipe": {"time": "1h"}}],
    }  # fmt: skip
    study = study_from_dict(values, "s.toml")
    again = study_from_dict(json.loads(json.dumps(study.as_dict())), "study.lock")
    assert digest(again) == digest(study)


def test_letters_beyond_ascii_are_spelled_one_way():
    assert canonical_json({"ü": "猫"}) == '{"\\u00fc":"\\u732b"}'


def test_what_has_no_single_spelling_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        digest({"loss": float("nan")})
    with pytest.raises(TypeError, match="a set has no canonical JSON"):
        digest({"classes": {"a", "b"}})
