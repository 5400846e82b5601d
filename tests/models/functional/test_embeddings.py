import pytest
import torch

from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.embeddings import embed, embedding_dim, padded, sampled


def test_a_grid_of_the_images_own_side_gives_the_pixels():
    images = torch.rand(3, 1, 4, 4)
    encoder = Pixels.Config().build()
    assert torch.equal(embed(encoder, images, 4), images.flatten(1))
    assert embedding_dim(encoder, 4) == 16


def test_a_grid_of_one_is_the_mean_of_the_feature_map(encoder):
    images = torch.rand(2, 1, 12, 12)
    encoder.eval()
    expected = encoder(images).mean(dim=(2, 3))
    torch.testing.assert_close(embed(encoder, images, 1), expected)


def test_a_sample_does_not_depend_on_the_batches_and_is_bounded():
    vectors = torch.rand(50, 3)
    whole = sampled([vectors], 20, seed=1)
    assert whole.shape == (20, 3)
    assert torch.equal(whole, sampled(vectors.split(7), 20, seed=1))


def test_padding_keeps_the_values_and_adds_zeros():
    assert padded(torch.tensor([[1.0, 2.0]]), 3).tolist() == [[1, 2], [0, 0], [0, 0]]
    assert padded(torch.ones(1), 2).dtype == torch.float64


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(TrainingError, match="got none"):
        sampled([], 5, seed=0)
    with pytest.raises(TrainingError, match="finite"):
        sampled([torch.tensor([[torch.nan]])], 5, seed=0)
    with pytest.raises(InvalidInputError, match="grid must be >= 1, got 0"):
        embedding_dim(Pixels.Config().build(), 0)
