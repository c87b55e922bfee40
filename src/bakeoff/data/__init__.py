"""From a data source to uint8 images, labels and a split; and from those to batches.

- Where images come from. `catalog`: the sources that have a name; `locate`: where they, or a path, lie.
  `source`: what every source lists. `folders`, `tiny_imagenet`, `cifar10`, `table`, `embedded`,
  `torchvision_sets`: one layout each. `tree`, `archive`: files, wherever they are packed. `download`:
  official files, checked and resumed. `classes`: which of a source's are asked for.
- From a file to pixels. `decode`: the one path there. `workers`, `cache`: that path over all files at
  once, into one memory-mapped array. `contents`: what the files hold now. `disk`: a disk that refuses.
  `survey`: a first look. `stream`: files that are only passed through; `predictor`: what names their
  classes, whatever computes.
- `split`: who trains, who tests. `prepare`: all of the above as one call. `given`, `pixels`: images
  that a program holds, and numbers that become some.
- From pixels to a network. `batches`: what a step trains on. `augment`: random changes. `preprocess`:
  the numbers that a network takes.
- What is wrong with images. `checks`, with `duplicates`, `twins`, `spectrum`, `quality`, and `grey`,
  which they look at.

Importing this does not import torch: decode workers and listings do without it.
"""

# `prepare` is a module and the function in it; imported from here, the name is the function.
from bakeoff.data.catalog import SOURCES
from bakeoff.data.decode import load_image
from bakeoff.data.prepare import TaskData, prepare

__all__ = ["SOURCES", "TaskData", "load_image", "prepare"]
