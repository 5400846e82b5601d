import numpy as np
import pytest
import torch

from benchmarks._comparators import of_trunk, pca, random_trunk, squeezenet

EXPANSIONS = {2: 64, 3: 64, 4: 128, 5: 128, 6: 192, 7: 192, 8: 256, 9: 256}


@pytest.fixture
def pixels():
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (20, 1, 24, 28), dtype=torch.uint8, generator=draw)


def test_every_row_describes_images_and_places(pixels):
    images = pixels.float() / 255
    for features in (of_trunk(random_trunk(pixels, 0)), pca(pixels)):
        with torch.no_grad():
            whole, places = features.whole(images), features.places(images)
        assert len(whole) == len(places) == 20
        assert whole.ndim == 2
        assert places.ndim == 4


def test_a_random_trunk_depends_on_its_seed_alone(pixels):
    images = pixels.float() / 255
    one, same, other = (of_trunk(random_trunk(pixels, seed)).whole(images) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_components_of_patches_are_those_of_the_pixels(pixels):
    images = pixels.float() / 255
    places = pca(pixels).places(images)
    moved = pca(pixels).places(images[:, :, 4:])
    torch.testing.assert_close(places[:, :, 1:], moved, atol=1e-4, rtol=1e-4)


def test_squeezenet_has_the_shape_of_its_paper(tmp_path):
    # Iandola et al., 2016, table 1: 13 cells a side after fire8's pooling of 224 pixels.
    draw = np.random.default_rng(0)
    arrays, width = {"conv1.weight": (96, 3, 7, 7), "conv1.bias": (96,)}, 96
    for fire, expanded in EXPANSIONS.items():
        squeezed = expanded // 4
        for name, shape in (
            ("squeeze1x1", (squeezed, width, 1, 1)),
            ("expand1x1", (expanded, squeezed, 1, 1)),
            ("expand3x3", (expanded, squeezed, 3, 3)),
        ):
            arrays[f"fire{fire}/{name}.weight"] = shape
            arrays[f"fire{fire}/{name}.bias"] = shape[:1]
        width = 2 * expanded
    weights = tmp_path / "weights.npz"
    np.savez(weights, **{k: draw.normal(size=s).astype("f4") * 0.05 for k, s in arrays.items()})
    features = squeezenet(weights)
    assert features.whole(torch.rand(2, 1, 28, 28)).shape == (2, 512)
    assert features.places(torch.rand(1, 3, 227, 227)).shape == (1, 256, 55, 55)
