"""AutoKeras as an external program: `external = ["DIR/bin/python", "-m", "bakeoff.external.autokeras"]`.

Its image classifier searches with its defaults until its seconds are over; then the weights that had the
lowest validation loss at the end of an epoch answer. Written for AutoKeras 3.0.0 with Keras 3.12, in an
environment of its own: `INSTALL` says how that is made. The last word is the request that a study
writes (docs/external.md). Imports nothing of bakeoff, which is not there.

Shape letters: N images, K classes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

# Started by its path, this file's folder comes first on the path, and it would import itself.
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]

import numpy as np  # noqa: E402 - behind the path

INSTALL = f'{sys.executable} -m pip install autokeras==3.0.0 "keras==3.12.*" tensorboard tensorflow-cpu'


class TimeIsUp(BaseException):
    """Ends a search; no Exception, because the search takes those for the faults of single trials."""


def main(words: list[str] | None = None) -> int:
    """Do what a request asks for.

    Args:
        words: Of the command; None takes the process's own.

    Returns:
        The exit code: 2 where AutoKeras is missing, 3 where no epoch has ended in time.
    """
    started = time.monotonic()
    path = Path((sys.argv[1:] if words is None else words)[-1])
    request = json.loads(path.read_text(encoding="utf-8"))
    try:
        import autokeras
        import keras
    except ImportError as error:
        print(f"AutoKeras cannot be imported ({error}); to install it: {INSTALL}")
        return 2
    folder, classes = path.parent, len(request["class_ids"])
    watch = watch_of(keras, started + request["seconds"])
    search(autokeras, watch, request, folder)
    seconds = time.monotonic() - started
    if watch.kept is None:
        print(f"no epoch has ended within {request['seconds']:g} s")
        return 3
    model, weights = watch.kept
    model.set_weights(weights)
    watch.deadline = float("inf")
    probabilities: dict[str, Any] = {
        part: probabilities_of(model.predict(images(request, folder, part), verbose=0), classes)
        for part in ("validation", "test")
        if request["parts"][part]["count"]
    }
    np.savez(folder / request["answer"]["probabilities"], **probabilities)
    version = f"AutoKeras {autokeras.__version__}, Keras {keras.__version__}"
    cost = {"seconds": seconds, "parameters": int(model.count_params()), "version": version}
    (folder / request["answer"]["cost"]).write_text(json.dumps(cost), encoding="utf-8")
    print(f"{watch.trials} trials begun, validation loss {watch.best:.4f}, {seconds:.1f} s")
    return 0


def watch_of(keras: Any, deadline: float) -> Any:
    """Make a callback that keeps the best weights of all trials, and ends the search in time.

    Args:
        keras: The library.
        deadline: Of `time.monotonic`; `TimeIsUp` is raised at the first batch behind it.

    Returns:
        The callback; its ``kept`` is a model with its weights, or None before the end of any epoch.
    """

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.deadline, self.best, self.trials = deadline, float("inf"), 0
            self.kept: tuple[Any, Any] | None = None

        def __deepcopy__(self, memo: Any) -> Any:
            return self  # one for all trials, to which the tuner gives copies

        def on_train_begin(self, logs: Any = None) -> None:
            self.trials += 1

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if time.monotonic() >= self.deadline:
                raise TimeIsUp

        on_test_batch_end = on_train_batch_end

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            loss = float((logs or {}).get("val_loss", float("nan")))
            if loss < self.best:
                self.best, self.kept = loss, (self.model, self.model.get_weights())

    return Watch()


def search(autokeras: Any, watch: Any, request: dict[str, Any], folder: Path) -> None:
    """Search with the defaults, on training and validation images, until the watch ends it."""
    classes = len(request["class_ids"])
    classifier = autokeras.ImageClassifier(
        num_classes=classes, directory=folder / "autokeras", overwrite=True, seed=request["seed"]
    )
    try:
        classifier.fit(
            images(request, folder, "train"), targets(request, folder, "train"),
            validation_data=(images(request, folder, "validation"), targets(request, folder, "validation")),
            callbacks=[watch], verbose=2,
        )  # fmt: skip
    except TimeIsUp:
        print("its seconds are over")


def images(request: dict[str, Any], folder: Path, part: str) -> np.ndarray:
    """Read a part's images."""
    found: np.ndarray = np.load(folder / request["parts"][part]["images"])
    return found


def targets(request: dict[str, Any], folder: Path, part: str) -> np.ndarray:
    """Read a part's labels in the form that AutoKeras leaves as it is, so that classes keep their order.

    Args:
        request: What the study asks for.
        folder: Its files.
        part: ``train`` or ``validation``.

    Returns:
        int32: of two classes a column of 0 and 1, else (N, K) with a 1 in the column of the class.
    """
    labels_N = np.load(folder / request["parts"][part]["labels"])
    classes = len(request["class_ids"])
    if classes == 2:
        return labels_N[:, None].astype(np.int32)  # type: ignore[no-any-return]
    return np.eye(classes, dtype=np.int32)[labels_N]  # type: ignore[no-any-return]


def probabilities_of(outputs: np.ndarray, classes: int) -> np.ndarray:
    """Turn a network's outputs into probabilities of all classes.

    Args:
        outputs: (N, K); of two classes (N, 1), the second one's.
        classes: K.

    Returns:
        float32 of shape (N, K).
    """
    found = np.asarray(outputs, np.float32)
    if classes == 2 and found.shape[1] == 1:
        found = np.concatenate([1 - found, found], axis=1)
    return found


if __name__ == "__main__":
    sys.exit(main())
