"""The peers on PyTorch: timm, fastai and Lightning train the same network from image files; prints images/s.

    peers-python benchmarks/peer_torch.py PEER NETWORK FOLDER SECONDS [--best]

Each does what its own documentation shows for a folder of class folders. With --best it gets
the best settings that it offers on a processor: channels-last, bf16, a worker for each core. The
networks are written in plain PyTorch, with as many weights as bakeoff's.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

SIDE = 64
BATCH = 256
WARM_UP = 2  # steps that are not timed


class Meter:
    """Counts images and says when it has seen enough."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.steps, self.images, self.started, self.now = 0, 0, 0.0, 0.0

    def saw(self, images: int) -> bool:
        """Note a step; tell whether this was the last one."""
        self.steps += 1
        self.now = time.perf_counter()
        if self.steps <= WARM_UP:
            self.started = self.now
            return False
        self.images += images
        return self.steps >= WARM_UP + 2 and self.now - self.started >= self.seconds

    @property
    def rate(self) -> float:
        """Images per second after the warm-up."""
        return self.images / (self.now - self.started)


def network(name: str, classes: int) -> nn.Module:
    """Build a network for small images."""
    return {"resnet18-64px": resnet18, "mobilenet": mobilenet}[name](classes)


def resnet18(classes: int) -> nn.Module:
    """Take timm's ResNet-18 and give it the stem for small images."""
    import timm

    model = timm.create_model("resnet18", num_classes=classes)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def mobilenet(classes: int) -> nn.Module:
    """Write MobileNet with a bias in every convolution, as the original study counts it."""
    filters = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()]
    channels = 32
    for count, stride in zip(filters, strides, strict=True):
        layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels), nn.BatchNorm2d(channels)]
        layers += [nn.ReLU(), nn.Conv2d(channels, count, 1), nn.BatchNorm2d(count), nn.ReLU()]
        channels = count
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def run_timm(name: str, folder: Path, meter: Meter, best: bool) -> None:
    """Loop as timm's documentation does: its dataset, loader, optimizer and schedule."""
    from timm.data import create_dataset, create_loader
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    workers = {"num_workers": os.cpu_count() or 1, "persistent_workers": True} if best else {}
    loader = create_loader(
        create_dataset("", root=str(folder)), input_size=(3, SIDE, SIDE), batch_size=BATCH,
        is_training=True, use_prefetcher=False, **workers,
    )  # fmt: skip
    model = network(name, len(loader.dataset.reader.class_to_idx)).train()
    if best:
        model = model.to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    schedule, epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=5)
    for epoch in range(epochs):
        for images_BCHW, labels_B in loader:
            if best:
                images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=best):
                loss = F.cross_entropy(model(images_BCHW), labels_B)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if meter.saw(len(labels_B)):
                return
        schedule.step(epoch + 1)


def run_fastai(name: str, folder: Path, meter: Meter, best: bool) -> None:
    """Fit one cycle as fastai's documentation does."""
    from fastai.callback.core import Callback, CancelFitException
    from fastai.callback.schedule import fit_one_cycle  # noqa: F401 - gives the learner its method
    from fastai.learner import Learner
    from fastai.vision.data import ImageDataLoaders

    class Watch(Callback):
        order = 100

        def after_batch(self) -> None:
            if self.training and meter.saw(len(self.yb[0])):
                raise CancelFitException

    class InBf16(Callback):
        """fastai's own mixed precision asks for CUDA; this is what it does, on a processor."""

        def before_batch(self) -> None:
            self.autocast = torch.autocast("cpu", torch.bfloat16)
            self.autocast.__enter__()

        def after_loss(self) -> None:
            self.autocast.__exit__(None, None, None)

    loaders = ImageDataLoaders.from_folder(folder, valid_pct=0.01, seed=0, bs=BATCH)
    learner = Learner(loaders, network(name, loaders.c), loss_func=nn.CrossEntropyLoss(), cbs=[Watch()])
    learner.no_bar()
    if best:
        from fastai.callback.channelslast import ChannelsLast

        learner.add_cbs([ChannelsLast(), InBf16()])
    learner.fit_one_cycle(5, 1e-3)


def run_lightning(name: str, folder: Path, meter: Meter, best: bool) -> None:
    """Train a plain module with a torchvision ImageFolder, as Lightning's documentation does."""
    import lightning
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    dataset = ImageFolder(
        folder, v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])
    )
    workers = {"num_workers": os.cpu_count() or 1, "persistent_workers": True} if best else {}
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, **workers)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = network(name, len(dataset.classes))

        def training_step(self, batch, index):
            images_BCHW, labels_B = batch
            if best:
                images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
            return F.cross_entropy(self.model(images_BCHW), labels_B)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.05)

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, index) -> None:
            if meter.saw(len(batch[1])):
                trainer.should_stop = True

    module = Module()
    if best:
        module = module.to(memory_format=torch.channels_last)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=5, min_steps=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[Watch()],
        precision="bf16-mixed" if best else "32-true",
    )  # fmt: skip
    trainer.fit(module, loader)


PEERS = {"timm": run_timm, "fastai": run_fastai, "lightning": run_lightning}


def main() -> None:
    """Train until the seconds are over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("network", choices=("resnet18-64px", "mobilenet"))
    parser.add_argument("folder", type=Path, help="of class folders")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--best", action="store_true")
    parser.add_argument(
        "--count", action="store_true", help="print the number of weights for 200 classes, and end"
    )
    options = parser.parse_args()
    if options.count:
        print(sum(p.numel() for p in network(options.network, 200).parameters()))
        return
    meter = Meter(options.seconds)
    PEERS[options.peer](options.network, options.folder, meter, options.best)
    print(meter.rate)


if __name__ == "__main__":
    main()
