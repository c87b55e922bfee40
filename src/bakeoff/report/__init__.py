"""The report: one offline page, its tables and its charts, from a study's records alone.

- `views` (with `task_views`, `control_views`, `pair_views`, `calibration_views`, `label_error_views`,
  `attribution_views`, `network_views`, `figures`, `pictures`, `words`): decides every word and digit, as a
  `view.StudyView`.
- `page`, `templates/`, `charts`, `reliability`, `vega`: arrange them, and decide nothing.
- `compare_views`, `compare_study_views`: two candidates, two studies, as a `compare_view.CompareView`.
- `write`, `publish`, `markdown`: the files. `reproduce`: is the page what the records give?
- `terminal`: the verdict for a terminal.

Nothing here imports torch: a report is drawn on a machine that has none.
"""
