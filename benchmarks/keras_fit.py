"""The peer: model4 in Keras 3 on TensorFlow, trained by `model.fit`; prints images/s.

    keras-python benchmarks/keras_fit.py BATCH SECONDS

Images are in memory as float32 and already scaled, which spares Keras all the work that
bakeoff's pipeline does. The first epoch (tracing) is not timed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "golden"))
from make_cnn_keras import network


def main() -> None:
    """Time epochs until they fill the seconds asked for."""
    batch_size, seconds = int(sys.argv[1]), float(sys.argv[2])
    images = 4 * max(batch_size, 128)
    generator = np.random.default_rng(0)
    x = generator.random((images, 64, 64, 3), dtype=np.float32)
    y = generator.integers(0, 200, size=images)
    model = network("model4", 64, 200)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)
        done += images
    print(done / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
