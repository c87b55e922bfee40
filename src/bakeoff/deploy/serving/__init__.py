"""Exported classifiers behind a web page and an HTTP interface, on ONNX Runtime, without torch.

- `limits`: what a request may cost. `refusals`: every answer but a good one, with its status.
- `uploads`: from a request's body to files, never more of it in memory than is allowed.
- `drawing`: from a file to pixels, once its header has been seen.
- `batching`: one thread that computes, and requests that share its batches.
- `heat`: which parts of an image a class stands on.
- `service`: all of these together. `metrics`: what it counts. `answers`: what it says.
- `app`: the addresses. `page`, `templates/`: the page. `server`: the process. `patience`: its connections.
  `memory`: what it gives back.

Nothing that a client sends is written to the disk, nor kept once it is answered.
"""
