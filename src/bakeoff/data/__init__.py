"""From a data source to uint8 images, labels and a split; and from those to batches.

- `catalog`: the sources that have a name; `locate`: where they, or a path, lie.
- `source`: what every source lists. `folders`, `tiny_imagenet`, `cifar10`, `table`,
  `embedded`, `torchvision_sets`: one layout each. `tree`, `archive`: files, wherever
  they are packed. `download`: official files, checked and resumed.
- `decode`: the one path from a file to pixels. `workers`, `cache`: that path over all
  files at once, into one memory-mapped array. `split`: who trains, who tests.
- `prepare`: all of the above as one call. `given`, `pixels`: images that a program holds, and numbers
  that become some.

Importing this does not import torch: decode workers and listings do without it.
"""

# `prepare` is a module and the function in it; imported from here, the name is the function.
from bakeoff.data.catalog import SOURCES
from bakeoff.data.decode import load_image
from bakeoff.data.prepare import TaskData, prepare

__all__ = ["SOURCES", "TaskData", "load_image", "prepare"]
