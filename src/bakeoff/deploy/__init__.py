"""Use the winner: files that hold a classifier, and what reads them.

- `bundle`: an exported ONNX file, opened without torch. `index`: training images that look like one.
- `serving`: such files behind a web page and an HTTP interface.

What serves never imports torch.
"""
