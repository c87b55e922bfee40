"""The report: one offline page, its tables and its charts, from a study's records alone.

- `views` decides every word and digit, as the plain values of `view`; with `task_views`,
  `control_views`, `data_views`, `class_views`, `pair_views`, `cost_views`, `calibration_views`,
  `label_error_views`, `attribution_views`, `network_views`, `search_views`, `figures`, `pictures`,
  `heat` and `words`.
- `page`, `templates/`, `charts`, `search_charts`, `reliability`, `vega`: arrange them, and decide
  nothing.
- Two candidates, or two studies, as the plain values of `compare_view`: `compare_views`,
  `compare_study_views`, `compare_detail_views`, `compare_charts`; printed by `compare_terminal` and
  `compare_json`.
- `write`, `publish`, `markdown`: the files. `reproduce`: is the page what the records give?
- `terminal`: the verdict for a terminal; `check_terminal`: what is wrong with images.

Nothing here imports torch: a report is drawn on a machine that has none.
"""
