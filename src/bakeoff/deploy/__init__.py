"""Use the winner: files that hold a classifier, and what reads them.

- `bundle`: an exported ONNX file, opened without torch. `index`: training images that look like one.
- `network`: a network traced by torch. `resizing`, `views`, `graph`: what stands around it, as an ONNX graph.
- `shipped`: the whole classifier as one module. `forms`: the files it is written to.
- `quantize`: int8. `card`: the model card. `export`: writes any of them, and proves what it wrote.
- `serving`: such files behind a web page and an HTTP interface.

What serves never imports torch: `bundle`, `index`, `serving`.
"""
