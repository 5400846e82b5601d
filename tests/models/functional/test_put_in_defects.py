import pytest
import torch

from models.errors import InvalidInputError
from models.functional.put_in_defects import KINDS, _poisson, put_in_defects


def images(num=16, channels=3):
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(num, channels, 8, 8, generator=draw)
    return torch.nn.functional.interpolate(coarse, size=(64, 80), mode="bilinear")


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_gets_a_small_defect_of_the_kinds_in_turn(channels):
    normal = images(channels=channels)
    put_in = put_in_defects(normal)
    assert put_in.kinds == list(KINDS) * 2
    assert put_in.images.shape == normal.shape
    assert 0 <= put_in.images.min() <= put_in.images.max() <= 1
    share = put_in.masks.flatten(1).double().mean(dim=1)
    assert share.min() > 0
    assert share.max() < 0.2


def test_pixels_outside_the_mask_stay_almost_as_they_were():
    normal = images()
    put_in = put_in_defects(normal)
    change = (put_in.images - normal).abs().amax(dim=1)
    assert change[~put_in.masks].max() <= 0.02
    assert (change[put_in.masks] > 0.02).all()


def test_the_seed_decides_and_the_given_images_stay():
    normal = images()
    before = normal.clone()
    torch.manual_seed(1)
    once = put_in_defects(normal, 3)
    torch.manual_seed(2)
    assert torch.equal(put_in_defects(normal, 3).images, once.images)
    assert not torch.equal(put_in_defects(normal, 4).images, once.images)
    assert torch.equal(normal, before)


def test_a_single_image_is_its_own_source():
    assert put_in_defects(images(1)).masks.any()


def test_small_images_are_refused():
    with pytest.raises(InvalidInputError, match="at least 16 x 16 pixels, got 8 x 64"):
        put_in_defects(torch.rand(2, 1, 8, 64))


def test_a_blended_patch_solves_poissons_equation():
    draw = torch.Generator().manual_seed(0)
    image, patch = torch.rand(2, 1, 9, 12, generator=draw).double() * 0.1 + 0.45
    found = image.clone()
    found[:, 1:-1, 1:-1] = _poisson(image, patch, mixed=False)
    laplace = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).double()[None, None]
    one, other = (torch.nn.functional.conv2d(part[None], laplace) for part in (found, patch))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(_poisson(image, image, mixed=True), image[:, 1:-1, 1:-1])
