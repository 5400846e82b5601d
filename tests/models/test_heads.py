import torch

from models.heads import Classifier


def test_classifies_maps_of_any_size_by_what_is_where():
    head = Classifier(5, 16, 7, seed=0).eval()
    for size in ((3, 3), (7, 9), (1, 2)):
        assert head(torch.rand(4, 5, *size)).shape == (4, 7)
    feature_map = torch.rand(1, 5, 6, 6)
    assert not torch.allclose(head(feature_map), head(feature_map.flip(3)))


def test_the_seed_alone_decides_the_first_weights():
    first = []
    for global_seed, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        first.append(Classifier(5, 16, 7, seed=seed).classes.weight)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
