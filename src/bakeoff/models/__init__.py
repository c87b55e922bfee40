"""Networks: what can be trained, how it is built, what it holds. Nothing here trains.

- `keras_layers`: the layers of Keras, in torch, so that weights can be exchanged.
- `cnn`: the five networks of the original study, as plans. `catalog`: every network by name.
  `user_file`: the user's own. `summary`: a layer table of any of them.
- `alexnet`, `mobilenet`: the study's classic ones. `resnet`: residual ones for small images. `macro`:
  those that a study or a search describes; `whitening`: a first layer for these that images set;
  `bakenet`: two of them that are our own, by name.
- `pretrained`: timm's, and where their weights are found. `transfer`: heads, taps and freezing; `cut`:
  where a frozen part ends. `architecture`: all of that as plain data; `written`: as plain values, and
  back.
- `convolutions`, `depthwise`, `dropout`: the fastest way to each. `modes`: evaluation mode and back.
"""
