"""Numbers computed from records alone: metrics, intervals, paired tests, summaries and verdicts.

- `predictions`: from class probabilities to what a run keeps. `metrics`: of one run; `per_class`: of
  its classes.
- `crossed`, `intervals`, `resampling`, `bounded`, `comparison`, `sensitivity`: how sure, whether two
  candidates can be told apart, and what could have been.
- `runs`, `results`: ended runs whose metrics are proved by their predictions; the table.
- `agreement`, `between`: two candidates on the same images, and on different ones. `candidate_pair`,
  `study_pair`: two of a study, and two studies, side by side. `verification`: is a study what it says?
  `fidelity`: is a copy of a classifier what was recorded?
- `summary`: what a study found, as plain values; `summarise`, `rows`, `groups`: how it is put together
  from records, candidate by candidate, control by control. `symptoms`, `verdict`, `cost`, `words`: what
  is said of it. All of it is decided before anything is drawn.
- `calibration`, `confidence`: how far the probabilities of a run, and of a candidate, can be trusted.
- `published`, `external`, `provenance`: what the figures of others, other programs, and weights that
  have seen images before, say of themselves. `trials`: what a search's journal shows.
- `findings`: what the checks of images look for. `deduplicated`: a test without its twins.
  `label_errors`, `disagreement`: images worth a look, because networks contradict them or each other.
- `curves`, `confusion`, `architecture`: what the charts and the pictures of a report show.

Nothing here trains, draws, or writes into a study's folder.
"""
