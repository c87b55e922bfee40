"""The peer on Keras 3 and TensorFlow: trains the same network from image files; prints images/s.

    peers-python benchmarks/peer_keras.py NETWORK FOLDER SECONDS [--best]

As Keras's documentation does for a folder of class folders: `image_dataset_from_directory`, a layer
that rescales, `fit`. With --best, what it offers on a processor: the decoded images kept in memory
and fetched ahead, bfloat16 by its mixed policy.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "golden"))
from make_networks_keras import mobilenet

SIDE = 64
BATCH = 256
WARM_UP = 2  # steps that are not timed


def resnet18(side: int, classes: int) -> keras.Model:
    """Write ResNet-18 with the stem for small images; convolutions have no bias, as in the paper's code."""

    def normed(values, filters: int, kernel: int, stride: int = 1):
        values = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False)(values)
        return layers.BatchNormalization()(values)

    images = keras.Input((side, side, 3))
    values = layers.ReLU()(normed(images, 64, 3))
    for number, filters in enumerate((64, 128, 256, 512)):
        for index in range(2):
            stride = 2 if number and index == 0 else 1
            around = values if stride == 1 else normed(values, filters, 1, stride)
            hidden = layers.ReLU()(normed(values, filters, 3, stride))
            values = layers.ReLU()(layers.Add()([normed(hidden, filters, 3), around]))
    values = layers.GlobalAveragePooling2D()(values)
    return keras.Model(images, layers.Dense(classes)(values))


NETWORKS = {"resnet18-64px": resnet18, "mobilenet": mobilenet}


class Meter(keras.callbacks.Callback):
    """Times the steps behind the warm-up, and stops when the seconds are over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.steps, self.started, self.now = 0, 0.0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count a step."""
        self.steps += 1
        self.now = time.perf_counter()
        if self.steps == WARM_UP:
            self.started = self.now
        elif self.steps >= WARM_UP + 2 and self.now - self.started >= self.seconds:
            self.model.stop_training = True
            raise StopIteration

    @property
    def rate(self) -> float:
        """Images per second; the last, smaller batch of an epoch is never reached in it."""
        return (self.steps - WARM_UP) * BATCH / (self.now - self.started)


def main() -> None:
    """Train until the seconds are over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("folder", type=Path, nargs="?", help="of class folders")
    parser.add_argument("seconds", type=float, nargs="?", default=30.0)
    parser.add_argument("--best", action="store_true")
    parser.add_argument(
        "--count", action="store_true", help="print the number of weights for 200 classes, and end"
    )
    options = parser.parse_args()
    if options.count:
        model = NETWORKS[options.network](SIDE, 200)
        print(sum(int(w.shape.num_elements()) for w in model.trainable_weights))
        return
    if options.best:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    batches = keras.utils.image_dataset_from_directory(
        options.folder, image_size=(SIDE, SIDE), batch_size=BATCH, shuffle=not options.best, verbose=False
    )
    classes = len(batches.class_names)
    if options.best:
        batches = batches.unbatch().cache().shuffle(10_000).batch(BATCH, drop_remainder=True).prefetch(2)
        for _ in batches:  # decoded once, as bakeoff's images are
            pass
    model = keras.Sequential([layers.Rescaling(1 / 255), NETWORKS[options.network](SIDE, classes)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.AdamW(1e-3, weight_decay=0.05), loss=loss, metrics=["accuracy"])
    meter = Meter(options.seconds)
    with contextlib.suppress(StopIteration):
        model.fit(batches, epochs=100, callbacks=[meter], verbose=0)
    print(meter.rate)


if __name__ == "__main__":
    main()
