"""Make grad_cam.json: what pytorch-grad-cam computes for a small network and for two of timm's.

Run it with a Python that has torch, timm and grad-cam; the tests need the first two alone:

    python -m venv cam-venv && cam-venv/bin/pip install torch timm grad-cam
    cam-venv/bin/python tests/golden/make_grad_cam.py

Weights and images come from `golden_formula.py`. The target layers are named here by hand, so that
the tests also see which layer is found. `raw` is the sum of eq. 2 behind its relu; `heat` is what the
library returns, brought to the image's size and stretched to [0, 1].
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from golden_formula import formula
from torch import nn

GOLDEN = Path(__file__).with_name("grad_cam.json")
CLASSES = 5
CASES = (  # network, layer, rows and columns of the images, the class that is explained, whether heat is kept
    ("small", "relu2", (12, 20), 1, True),
    ("small", "relu2", (12, 20), 4, True),
    ("timm:resnet18", "layer3", (64, 64), 2, False),
    ("timm:resnet18", "layer4", (128, 128), 0, False),
    ("timm:mobilenetv3_small_100", "blocks.5", (128, 128), 3, False),
)


def network(name: str) -> nn.Module:
    """Build a network with weights by the formula, in evaluation mode."""
    if name.startswith("timm:"):
        import timm

        model = timm.create_model(name.removeprefix("timm:"), pretrained=False, num_classes=CLASSES)
    else:
        model = nn.Sequential()
        model.add_module("conv1", nn.Conv2d(3, 6, 3, padding=1))
        model.add_module("relu1", nn.ReLU())
        model.add_module("pool1", nn.MaxPool2d(2))
        model.add_module("conv2", nn.Conv2d(6, 8, 3, padding=1))
        model.add_module("relu2", nn.ReLU())
        model.add_module("flatten", nn.Flatten())
        model.add_module("output", nn.Linear(8 * 6 * 10, CLASSES))
    with torch.no_grad():
        for index, (key, tensor) in enumerate(model.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            values = torch.from_numpy(formula(index, tuple(tensor.shape)))
            if tensor.ndim > 1:  # keeps the size of activations through relu
                values *= (6 / tensor[0].numel()) ** 0.5
            elif key.endswith(("running_var", "weight")):  # of normalization, and never 0
                values = 1 + values / 2
            tensor.copy_(values if tensor.ndim > 1 or key.endswith(("running_var", "weight")) else values / 4)
    return model.eval()


def images(height: int, width: int) -> torch.Tensor:
    """Make two images_BCHW."""
    return torch.from_numpy(formula(500 + width, (2, 3, height, width)))


def main() -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    class Heard(GradCAM):
        """Keeps the weighted sum."""

        def get_cam_image(self, *args, **options):
            self.raw = super().get_cam_image(*args, **options)
            return self.raw

    cases = []
    for name, layer, (height, width), wanted, whole in CASES:
        model = network(name)
        with Heard(model=model, target_layers=[model.get_submodule(layer)]) as cam:
            heat = cam(images(height, width), [ClassifierOutputTarget(wanted)] * 2)
        case = {"network": name, "layer": layer, "size": [height, width], "class": wanted}
        case["raw"] = np.maximum(cam.raw, 0).tolist()
        if whole:
            case["heat"] = np.round(heat, 5).tolist()
        cases.append(case)
        print(name, layer, cam.raw.shape, (cam.raw > 0).mean(), np.abs(cam.raw).max())
    golden = {
        "grad-cam": metadata.version("grad-cam"),
        "torch": torch.__version__,
        "timm": metadata.version("timm"),
    }
    text = json.dumps(golden | {"cases": cases}, separators=(",", ":"))
    GOLDEN.write_text(text.replace('{"network"', '\n{"network"') + "\n")


if __name__ == "__main__":
    main()
