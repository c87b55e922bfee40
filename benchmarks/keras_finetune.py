"""The peer of `benchmarks.finetune`: the same fine-tuning by Keras 3's `fit`; prints JSON.

    keras-python benchmarks/keras_finetune.py ARRAYS.npz EPOCHS HEAD

ARRAYS holds images (uint8), labels, and the trained base's weights in Keras's order. The base
is frozen but for its last dense layer, and the head stands on its ten probabilities, as in the
original study. The time is that of `fit`, its tracing included.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "golden"))
from make_networks_keras import mobilenet


def main() -> None:
    """Train and test."""
    arrays, epochs, head = np.load(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    keras.utils.set_random_seed(int(arrays["seed"]))
    classes = int(arrays["train_labels"].max()) + 1
    base = mobilenet(arrays["train_images"].shape[1], classes)
    base.set_weights([arrays[f"weight{k}"] for k in range(len(base.weights))])
    base.add(layers.Activation("softmax"))
    for layer in base.layers[:-4]:
        layer.trainable = False
    model = keras.Sequential([base])
    for entry in head:
        model.add(layers.Dense(entry, activation="relu") if isinstance(entry, int) else layers.Dropout(entry))
    model.add(layers.Dense(classes))
    steps = len(arrays["train_labels"]) // 64 * epochs
    rate = keras.optimizers.schedules.PolynomialDecay(1e-3, steps, end_learning_rate=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    images = {part: arrays[f"{part}_images"].astype(np.float32) / 255 for part in ("train", "test")}
    started = time.perf_counter()
    model.fit(images["train"], arrays["train_labels"], batch_size=64, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - started
    _, accuracy = model.evaluate(images["test"], arrays["test_labels"], batch_size=256, verbose=0)
    print(json.dumps({"seconds": seconds, "test_accuracy": accuracy}))


if __name__ == "__main__":
    main()
