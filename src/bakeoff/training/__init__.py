"""One run: from a plan and prepared images to a record.

- `job`, `run`: what one run is asked for, and the whole of it. `account`: from how far it came to its
  record.
- `machine`: device, threads and precision, resolved once. `allocator`: memory that is handed out twice.
- `classifier`: preprocessing and network as one module. `objective`: the loss. `optimizers`,
  `muon`, `schedules`: how the weights move. `averaging`: their running mean.
- `state`: everything a checkpoint carries. `loop`: the training itself. `events`: TensorBoard.
- `first_layer`: what training images set before the first step. `source`: the run that a training
  stands on. `features`: frozen work, kept. `probe`: logistic regression on it.
- `evaluate`: predictions of a split, and the one reading of the test images. `scoring`: what they are
  worth, kept. `recalibrate`: statistics of batch normalization before it. `attribution`: where a
  network looked.
- `search`: a run that finds its network first; `search_jobs`: the trainings that it asks for; `speeds`:
  how fast each trains here. `external`: a run of somebody else's program.
- `team`, `assembly`: several processes that share a run; `synced_norm`: batch normalization over all of
  them. `child`, `parcel`: a process beside this one, and a job on its way there.
- `cost`: what a run will take. `latency`, `energy`: what a prediction and a training took. `bench`:
  what a machine can do.
"""
