import torch
from torch import nn

from models.one_class._svdd_networks import Autoencoder, SVDDEncoder


def test_nothing_has_a_bias_that_could_make_the_embedding_constant():
    network = Autoencoder(SVDDEncoder(1, 12, 5), 1, 12, 5)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is None
        if isinstance(layer, nn.BatchNorm2d):
            assert not layer.affine


def test_shapes_are_those_of_embedding_and_images():
    encoder = SVDDEncoder(3, 8, 5).eval()
    images = torch.rand(2, 3, 8, 8)
    assert encoder(images).shape == (2, 5)
    restored = Autoencoder(encoder, 3, 8, 5).eval()(images)
    assert restored.shape == images.shape
    assert restored.min() > 0
    assert restored.max() < 1
