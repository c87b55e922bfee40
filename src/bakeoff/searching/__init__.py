"""What a search tries next, and when it ends: numbers in, numbers out. `training.search` trains.

- `points`: settings of a network and its training, drawn, moved, and turned into both.
- `proposals`: which point is next, by Optuna, by a step from the best, or by chance.
- `rungs`: how long and at which size trials are trained, and which of them go on.
- `pace`: how long each network is trained there, by its speed.
- `filters`: what is not trained at all.
- `budget`: what is charged, and what is left.
"""
