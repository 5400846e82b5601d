import numpy as np
import torch

from tasks.training.places import sampled


def test_all_places_are_kept_as_long_as_they_are_few():
    features = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    found = sampled(features, 20, np.random.default_rng(0))
    assert torch.equal(found, features.reshape(6, 4))


def test_of_many_places_some_are_drawn_from_each_frame():
    frames, places = torch.arange(3.0), torch.arange(500.0)
    features = torch.stack(torch.meshgrid(frames, places, indexing="ij"), dim=-1)
    found = sampled(features, 20, np.random.default_rng(0))
    assert found.shape == (60, 2)
    assert torch.equal(found[:, 0], frames.repeat_interleave(20))
    assert len(found[:20, 1].unique()) > 10
    assert not torch.equal(found[:20, 1], found[20:40, 1])
