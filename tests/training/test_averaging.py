"""The running mean of weights, against its closed form."""

import numpy as np
import torch
from torch import nn

from bakeoff.training.averaging import Averaged

DECAY = 0.8


def test_the_average_is_the_sum_of_all_weights_seen_each_by_what_is_left_of_it():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.BatchNorm1d(2)).double()
    averaged = Averaged(model, DECAY)
    seen = [model[0].weight.detach().numpy().copy()]
    kept = []
    for step in range(30):
        with torch.no_grad():
            model[0].weight.copy_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
            model[1].running_mean.fill_(step)
            model[1].num_batches_tracked += 1
        seen.append(model[0].weight.detach().numpy().copy())
        averaged.update(model, step)
        kept.append(min(DECAY, (1 + step) / (10 + step)))
    shares = [(1 if i == 0 else 1 - kept[i - 1]) * np.prod(kept[i:]) for i in range(len(seen))]
    assert np.isclose(sum(shares), 1)
    expected = sum(share * weights for share, weights in zip(shares, seen, strict=True))
    np.testing.assert_allclose(averaged.module[0].weight.detach().numpy(), expected, rtol=1e-12)
    statistics = sum(share * mean for share, mean in zip(shares, [0, *range(30)], strict=True))
    np.testing.assert_allclose(averaged.module[1].running_mean.numpy(), statistics, rtol=1e-12)
    assert averaged.module[1].num_batches_tracked == 30  # a count is copied, not averaged


def test_the_trained_model_is_not_touched_and_the_average_predicts():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    averaged = Averaged(model, DECAY)
    averaged.update(model, 0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert not averaged.module.training
    assert averaged.module[0].weight is not model[0].weight
