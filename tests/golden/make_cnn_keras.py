"""Make cnn_keras.json: what Keras computes for the five networks of the original study.

Run it with a Python that has Keras 3 and TensorFlow; the tests need neither:

    python -m venv keras-venv && keras-venv/bin/pip install keras tensorflow-cpu numpy
    keras-venv/bin/python tests/golden/make_cnn_keras.py

Weights and images come from `golden_formula.py`, which the tests evaluate again, so none are
stored. The networks are written out here a second time, from the study's table, and
not taken from the package: a golden value must come from elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from golden_formula import formula, formula_images, formula_weights

GOLDEN = Path(__file__).with_name("cnn_keras.json")
SIZES = (32, 64, 65)
CLASSES = 5
LAYER_WINDOWS = ((2, 2), (3, 1), (3, 2), (11, 4), (4, 1), (1, 2))  # kernel, stride


POOL = (0, 0)  # beside (filters, stride) of a convolution
BODIES = {
    "model1": [(32, 1), (32, 1), POOL, (64, 1), (64, 1), POOL],
    "model2": [(128, 1), POOL, (128, 1), (128, 1), POOL, (128, 1), (128, 1), POOL],
    "model3": [(128, 1), (128, 2), (128, 1), (256, 2), (256, 1), (256, 2), (512, 1), (512, 2), (512, 1)],
    "model4": [layer for f in (128, 128, 256, 512) for layer in ((f, 1), (f, 2), POOL)],
    "model5": [layer for f in (128, 256, 512, 1024) for layer in ((f, 1), (f, 2), POOL)],
}
HIDDEN = {
    "model1": [512],
    "model2": [512, 512],
    "model3": [512],
    "model4": [512, 512],
    "model5": [1024, 1024, 512],
}


def network(name: str, size: int, classes: int):
    """Build one of the five networks in Keras, logits out."""
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input((size, size, 3))], name=name)
    norm = name not in ("model1", "model2")
    for filters, stride in BODIES[name]:
        if (filters, stride) == POOL:
            model.add(layers.MaxPooling2D(2, padding="same"))
            continue
        model.add(layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu"))
        if norm:
            model.add(layers.BatchNormalization())
    model.add(layers.Flatten())
    for width in HIDDEN[name]:
        model.add(layers.Dense(width, activation="relu"))
        if norm:
            model.add(layers.BatchNormalization())
    model.add(layers.Dense(classes))
    return model


def _single_layers() -> list[dict]:
    """Run layers alone on a 9x14 image, which finds swapped axes and misplaced padding."""
    import keras

    image_BHWC = formula(77, (1, 9, 14, 3))
    cases = []
    for kernel, stride in LAYER_WINDOWS:
        conv = keras.layers.Conv2D(2, kernel, strides=stride, padding="same")
        conv.build(image_BHWC.shape)
        conv.set_weights([formula(78, (kernel, kernel, 3, 2)), formula(79, (2,))])
        pool = keras.layers.MaxPooling2D(kernel, strides=stride, padding="same")
        outputs = {"conv": np.asarray(conv(image_BHWC)), "pool": np.asarray(pool(image_BHWC))}
        cases += [
            {"layer": layer, "kernel": kernel, "stride": stride, "output_BHWC": output.tolist()}
            for layer, output in outputs.items()
        ]
    return cases


def _count(model) -> dict[str, int]:
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return {"parameters": int(model.count_params()), "trainable": trainable}


def main() -> None:
    import keras
    import tensorflow

    golden = {"keras": keras.__version__, "tensorflow": tensorflow.__version__}
    golden |= {"layers": _single_layers(), "cases": []}
    for name in ("model1", "model2", "model3", "model4", "model5"):
        norm = name not in ("model1", "model2")
        for size in SIZES:
            model = network(name, size, CLASSES)
            shapes = [tuple(w.shape) for w in model.get_weights()]
            model.set_weights(formula_weights(shapes, norm))
            images_BHWC = formula_images(size)
            case = {"model": name, "image_size": size, "classes": CLASSES, **_count(model), "shapes": shapes}
            case["logits"] = np.asarray(model(images_BHWC, training=False)).tolist()
            case["training_logits"] = np.asarray(model(images_BHWC, training=True)).tolist()
            golden["cases"].append(case)
            keras.backend.clear_session()
            print(name, size, case["parameters"], np.round(case["logits"][0], 3), flush=True)
        wide = network(name, 64, 200)
        golden["cases"].append({"model": name, "image_size": 64, "classes": 200, **_count(wide)})
    text = json.dumps(golden, separators=(",", ":"))
    for start in ('{"model"', '{"layer"'):
        text = text.replace(start, "\n" + start)
    GOLDEN.write_text(text + "\n")


if __name__ == "__main__":
    main()
