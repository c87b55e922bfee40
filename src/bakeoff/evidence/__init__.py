"""Numbers computed from records alone: metrics, intervals, paired tests, summaries and verdicts.

- `predictions`: from class probabilities to what a run keeps. `metrics`: of one run.
- `crossed`, `intervals`, `resampling`, `bounded`, `comparison`: how sure, and whether two candidates can be
  told apart.
- `runs`, `results`: ended runs whose metrics are proved by their predictions; the table.
- `agreement`, `between`: two candidates on the same images, and on different ones. `candidate_pair`,
  `study_pair`: two of a study, and two studies, side by side. `verification`: is a study what it says?
- `summary`, `symptoms`, `verdict`, `words`: what a study found, decided before it is drawn.
- `calibration`, `confidence`: how far the probabilities of a run, and of a candidate, can be trusted.
- `published`: what the figures of others say of themselves.
- `label_errors`: images worth a look, because all networks contradict or fail them.
- `curves`, `confusion`: what the charts and the pictures of a report show.

Nothing here trains, draws, or writes into a study's folder.
"""
