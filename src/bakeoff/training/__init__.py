"""One run: from a plan and prepared images to a record.

- `machine`: device, threads and precision, resolved once. `allocator`: memory that is
  handed out twice.
- `classifier`: preprocessing and network as one module. `objective`: the loss.
  `optimizers`, `schedules`: how the weights move. `averaging`: their running mean.
- `state`: everything a checkpoint carries. `loop`: the training itself.
- `source`: the run that a training stands on. `features`: frozen work, kept. `probe`: logistic
  regression on it. `cost`: what a run will take. `bench`: what a machine can do.
- `evaluate`: predictions of a split, and the one reading of the test images.
- `events`: TensorBoard. `job`, `run`: what one run is asked for, and the whole of it.
"""
