"""Programs that stand outside of a study and work for it: adapters of other libraries, and their watch.

- `sklearn`, `autokeras`: baselines for `external = [...]` in a study file (docs/external.md).
- `watch`: stands between a study and the program that it has started.

Nothing here imports bakeoff, nor anything of bakeoff these: each file runs as a program, also in an
environment that has no bakeoff.
"""
