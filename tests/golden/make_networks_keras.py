"""Make networks_keras.json: what Keras computes for the study's AlexNet and for its MobileNet.

    keras-venv/bin/python tests/golden/make_networks_keras.py

The environment is that of `make_cnn_keras.py`. The networks are written out here a second
time: AlexNet from the study's own code, MobileNet from the paper's table 1 with Keras's
padding and a bias in each convolution.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from golden_formula import formula_images, formula_weight

GOLDEN = Path(__file__).with_name("networks_keras.json")
KINDS = {
    "kernel": "kernel", "depthwise_kernel": "kernel", "bias": "bias", "gamma": "gamma", "beta": "beta",
    "moving_mean": "mean", "moving_variance": "variance",
}  # fmt: skip


def alexnet(size: int, classes: int):
    """Build the study's AlexNet, logits out."""
    from keras import Input, Sequential, layers

    model = Sequential([Input((size, size, 3))])
    for filters, kernel, stride, pool in (
        (96, 11, 4, 1),
        (256, 5, 1, 1),
        (384, 3, 1, 0),
        (384, 3, 1, 0),
        (256, 3, 1, 1),
    ):
        model.add(layers.Conv2D(filters, kernel, strides=stride, padding="same"))
        model.add(layers.Activation("relu"))
        if pool:
            model.add(layers.MaxPooling2D(pool_size=(3, 3), strides=(2, 2), padding="same"))
    model.add(layers.Flatten())
    for _ in range(2):
        model.add(layers.Dense(4096))
        model.add(layers.Activation("relu"))
        model.add(layers.Dropout(0.4))
    model.add(layers.Dense(classes))
    model.add(layers.BatchNormalization())
    return model


def mobilenet(size: int, classes: int, width: float = 1.0):
    """Build the paper's MobileNet with a bias in every convolution, logits out."""
    from keras import Input, Sequential, layers

    model = Sequential([Input((size, size, 3))])

    def then(layer) -> None:
        model.add(layer)
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))

    then(layers.Conv2D(int(32 * width), 3, strides=2, padding="same"))
    filters = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    for count, stride in zip(filters, strides, strict=True):
        then(layers.DepthwiseConv2D(3, strides=stride, padding="same"))
        then(layers.Conv2D(int(count * width), 1, padding="same"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(classes))
    return model


BUILD = {"alexnet": alexnet, "mobilenet": mobilenet, "mobilenet-0.25": lambda s, k: mobilenet(s, k, 0.25)}
COMPUTED = (("alexnet", 32), ("alexnet", 65), ("mobilenet", 32), ("mobilenet", 65), ("mobilenet-0.25", 64))
COUNTED = (("alexnet", 32, 200), ("alexnet", 224, 200), ("mobilenet", 32, 10), ("mobilenet", 64, 200))


def _count(model) -> dict[str, int]:
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return {"parameters": int(model.count_params()), "trainable": trainable}


def main() -> None:
    """Build, fill, compute, store."""
    import keras
    import tensorflow

    cases = []
    for name, size in COMPUTED:
        model = BUILD[name](size, 5)
        weights = [(KINDS[w.name], [int(n) for n in w.shape]) for w in model.weights]
        model.set_weights([formula_weight(i, kind, tuple(shape)) for i, (kind, shape) in enumerate(weights)])
        logits = np.asarray(model(formula_images(size), training=False))
        cases.append({"model": name, "image_size": size, "classes": 5, **_count(model), "weights": weights,
                      "logits": logits.tolist()})  # fmt: skip
        print(name, size, np.round(logits[0], 3), flush=True)
        keras.backend.clear_session()
    for name, size, classes in COUNTED:
        cases.append(
            {"model": name, "image_size": size, "classes": classes, **_count(BUILD[name](size, classes))}
        )
        keras.backend.clear_session()
    golden = {"keras": keras.__version__, "tensorflow": tensorflow.__version__, "cases": cases}
    text = json.dumps(golden, separators=(",", ":")).replace('{"model"', '\n{"model"')
    GOLDEN.write_text(text + "\n")


if __name__ == "__main__":
    main()
