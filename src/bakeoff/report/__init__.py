"""The report: one offline page, its tables and its charts, from a study's records alone.

- `views` (with `task_views`, `control_views`, `calibration_views`, `label_error_views`, `figures`,
  `pictures`, `words`): decides every word and digit, as a `view.StudyView`.
- `page`, `templates/`, `charts`, `reliability`, `vega`: arrange them, and decide nothing.
- `write`, `publish`: the files. `terminal`: the verdict for a terminal.

Nothing here imports torch: a report is drawn on a machine that has none.
"""
