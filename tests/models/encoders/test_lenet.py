import pytest
import torch
from torch.nn import functional

from models.encoders.lenet import LeNet
from models.errors import InvalidInputError


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return LeNet.Config().build().eval()


def test_it_is_lenet_layer_by_layer(encoder):
    images = torch.rand(3, 1, 28, 28)
    first, second = (encoder.features[place] for place in (0, 3))
    hidden = functional.max_pool2d(functional.conv2d(images, first.weight, first.bias).relu(), 2)
    hidden = functional.max_pool2d(functional.conv2d(hidden, second.weight, second.bias).relu(), 2)
    weight = encoder.fc.weight.reshape(500, 50 * 4 * 4)
    expected = functional.linear(hidden.flatten(1), weight, encoder.fc.bias).relu()
    assert encoder(images).shape == (3, 500, 1, 1)
    torch.testing.assert_close(encoder(images)[:, :, 0, 0], expected)


def test_it_has_the_weights_of_caffes_lenet(encoder):
    shapes = [
        tuple(weight.shape) for name, weight in encoder.named_parameters() if "weight" in name
    ]
    assert shapes == [(20, 1, 5, 5), (50, 20, 5, 5), (500, 50, 4, 4)]


def test_a_larger_image_gives_the_same_vectors_at_each_of_its_places(encoder):
    images = torch.rand(2, 1, 36, 32)
    found = encoder(images)
    assert found.shape == (2, 500, 3, 2)
    torch.testing.assert_close(
        found[:, :, 1, 1], encoder(images[:, :, 4:32, 4:32])[:, :, 0, 0], rtol=1e-4, atol=1e-5
    )


def test_a_vector_sees_28_pixels_and_the_next_one_4_further(encoder):
    assert encoder.receptive_field.size == 28
    assert encoder.receptive_field.stride == 4


@pytest.mark.parametrize("shape", [(1, 1, 27, 28), (1, 3, 28, 28)])
def test_other_images_are_refused(encoder, shape):
    with pytest.raises(InvalidInputError, match="LeNet needs images with 1 channels"):
        encoder(torch.rand(shape))


@pytest.mark.parametrize("name", ["channels", "embedding_dim"])
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(InvalidInputError, match=name):
        LeNet.Config(**{name: 0})
