"""A run's network apart from its folder predicts as the run was scored, also after a pickle."""

import pickle
import shutil

import numpy as np
import small_study
import torch

from bakeoff.data import prepare
from bakeoff.study.fitted import Fitted


def test_the_test_images_are_scored_as_they_were_when_the_folder_is_gone(tmp_path):
    values = small_study.study(recipe={"test_views": "mirror"})
    folder = small_study.train(tmp_path, values).folder
    data = prepare(folder.spec().tasks[0], base_dir=tmp_path, decoders=1)
    run = folder.run("digits", "dropout", 0)
    stored_NK = np.load(run.probabilities_path)["test"]
    fitted = Fitted.of(run, tmp_path)
    shutil.rmtree(folder.path)
    for one in (fitted, pickle.loads(pickle.dumps(fitted))):
        found_NK = one.probabilities(data.images_NHWC[data.test], torch.device("cpu"))
        assert np.array_equal(found_NK, stored_NK)
    assert fitted.task.name == "digits"
    assert data.digests[0].encode() not in pickle.dumps(fitted)  # they would be most of it
