"""Baselines of scikit-learn as an external program: `python -m bakeoff.external.sklearn`.

    --model logistic   multinomial logistic regression, fitted until it settles or its seconds are over
    --model forest     a random forest, grown tree by tree to 300 or until its seconds are over
    --features pixels  every pixel, scaled to [0, 1]
    --features simple  means and deviations of each channel in 4 x 4 cells, and its histogram of 8 bins

The last word is the request that a study writes (docs/external.md). Imports nothing of bakeoff.

Shape letters: N images, H rows, W columns, F features, K classes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Started by its path, this file's folder comes first on the path, and it would import itself.
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]

import numpy as np  # noqa: E402 - behind the path

TREES, TREES_A_TIME = 300, 10
STEPS, STEPS_A_TIME = 1000, 10  # of the solver
CELLS, BINS = 4, 8
PREDICTING = 0.05  # of the seconds, that are left for what is not training
BLOCK = 1000  # images whose features are computed at a time


def main(words: list[str] | None = None) -> int:
    """Do what a request asks for.

    Args:
        words: Of the command; None takes the process's own.

    Returns:
        The exit code: 2 where scikit-learn is missing.
    """
    started = time.monotonic()
    parser = argparse.ArgumentParser(prog="bakeoff.external.sklearn")
    parser.add_argument("--model", choices=("logistic", "forest"), default="logistic")
    parser.add_argument("--features", choices=("pixels", "simple"), default="pixels")
    parser.add_argument("request", type=Path)
    asked = parser.parse_args(words)
    try:
        import sklearn
    except ImportError:
        print(
            f"scikit-learn is not installed for {sys.executable}; "
            f"to install it: {sys.executable} -m pip install scikit-learn"
        )
        return 2
    request = json.loads(asked.request.read_text(encoding="utf-8"))
    folder = asked.request.parent
    deadline = started + (1 - PREDICTING) * request["seconds"]
    parts = request["parts"]
    images_NHWC = np.load(folder / parts["train"]["images"], mmap_mode="r")
    labels_N = np.load(folder / parts["train"]["labels"])
    features = FEATURES[asked.features]
    model, parameters = MODELS[asked.model](
        np.concatenate(list(_blocks(features, images_NHWC))),
        labels_N,
        deadline,
        request["seed"],
        request["threads"],
    )
    seconds = time.monotonic() - started
    probabilities: dict[str, Any] = {}
    for part in ("validation", "test"):
        images_NHWC = np.load(folder / parts[part]["images"], mmap_mode="r")
        probabilities[part] = predict(model, features, images_NHWC, len(request["class_ids"]))
    np.savez(folder / request["answer"]["probabilities"], **probabilities)
    cost = {"seconds": seconds, "parameters": parameters, "version": f"scikit-learn {sklearn.__version__}"}
    (folder / request["answer"]["cost"]).write_text(json.dumps(cost), encoding="utf-8")
    print(f"{asked.model} on {asked.features}: {parameters:,} parameters, {seconds:.1f} s")
    return 0


def pixels(images_NHWC: np.ndarray) -> np.ndarray:
    """Lay every pixel out as a feature.

    Args:
        images_NHWC: Bytes.

    Returns:
        float32 of shape (N, H * W * 3), in [0, 1].
    """
    return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32) / 255


def simple(images_NHWC: np.ndarray) -> np.ndarray:
    """Describe images by their colours: where they are light, how they vary, how they are spread.

    Args:
        images_NHWC: Bytes, of at least `CELLS` pixels a side.

    Returns:
        float32 of shape (N, 120), in [0, 1]: means and deviations by cell and channel, then shares of the
        pixels by channel and bin.
    """
    values_NHWC = images_NHWC.astype(np.float32) / 255
    cells = [
        cell
        for rows in np.array_split(values_NHWC, CELLS, axis=1)
        for cell in np.array_split(rows, CELLS, axis=2)
    ]
    parts = [cell.mean(axis=(1, 2)) for cell in cells] + [cell.std(axis=(1, 2)) for cell in cells]
    bins_NHWC = images_NHWC // (256 // BINS)
    parts += [(bins_NHWC == number).mean(axis=(1, 2), dtype=np.float32) for number in range(BINS)]
    return np.concatenate(parts, axis=1)


def logistic(
    features_NF: np.ndarray, labels_N: np.ndarray, deadline: float, seed: int, threads: int
) -> tuple[Any, int]:
    """Fit a logistic regression, its features standardized; at least a few steps are taken.

    Args:
        features_NF: Of the training images.
        labels_N: Theirs.
        deadline: Of `time.monotonic`, at which to stop.
        seed: Not needed; the solver draws nothing.
        threads: As told by the environment.

    Returns:
        The model, and how many numbers it has learned.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features_NF)
    scaled_NF = scaler.transform(features_NF)
    model = LogisticRegression(max_iter=STEPS_A_TIME, warm_start=True)
    for _ in _turns(STEPS // STEPS_A_TIME, deadline):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not settled yet
            model.fit(scaled_NF, labels_N)
        if model.n_iter_.max() < STEPS_A_TIME:
            break
    return make_pipeline(scaler, model), int(model.coef_.size + model.intercept_.size)


def forest(
    features_NF: np.ndarray, labels_N: np.ndarray, deadline: float, seed: int, threads: int
) -> tuple[Any, int]:
    """Grow a random forest; at least a few trees are grown.

    Args:
        features_NF: Of the training images.
        labels_N: Theirs.
        deadline: Of `time.monotonic`, at which to stop.
        seed: Of the trees.
        threads: That grow them.

    Returns:
        The model, and how many splits it has learned.
    """
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(n_estimators=0, warm_start=True, random_state=seed, n_jobs=threads)
    for _ in _turns(TREES // TREES_A_TIME, deadline):
        model.n_estimators += TREES_A_TIME
        model.fit(features_NF, labels_N)
    return model, int(sum((tree.tree_.feature >= 0).sum() for tree in model.estimators_))


def _turns(most: int, deadline: float) -> Iterator[int]:
    """Count turns as long as another one like the longest so far would end in time; one at least."""
    longest = 0.0
    for turn in range(most):
        started = time.monotonic()
        if turn and started + longest > deadline:
            return
        yield turn
        longest = max(longest, time.monotonic() - started)


def predict(model: Any, features: Any, images_NHWC: np.ndarray, classes: int) -> np.ndarray:
    """Compute probabilities; classes without a training image have none.

    Args:
        model: Fitted.
        features: From images to features.
        images_NHWC: Bytes.
        classes: Columns.

    Returns:
        float32 of shape (N, K).
    """
    found_NK = np.zeros((len(images_NHWC), classes), np.float32)
    for number, block_NF in enumerate(_blocks(features, images_NHWC)):
        start = number * BLOCK
        found_NK[start : start + BLOCK, model.classes_] = model.predict_proba(block_NF)
    return found_NK


def _blocks(features: Any, images_NHWC: np.ndarray) -> Iterator[np.ndarray]:
    """Compute features block by block: all images as float32 at once would be four times their bytes."""
    for start in range(0, len(images_NHWC), BLOCK):
        yield features(np.asarray(images_NHWC[start : start + BLOCK]))


FEATURES = {"pixels": pixels, "simple": simple}
MODELS = {"logistic": logistic, "forest": forest}


if __name__ == "__main__":
    sys.exit(main())
