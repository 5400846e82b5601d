import math

import pytest
import torch

from models.errors import InvalidInputError
from models.functional.receptive_field import ReceptiveField
from models.pretext.autoregressive import Autoregressive, BlockModel, PixelHistogram
from tests.models.pretext.conftest import waves


def test_learns_more_than_each_pixel_alone_tells(encoder):
    config = Autoregressive.Config(epochs=10, learning_rate=5e-3, levels=8)
    task = config.build(encoder).fit(waves(32, 1).split(8))
    figures = task.evaluate([waves(16, 1, seed=1)])
    assert figures["bits_per_dim"] < 0.7 * figures["histogram_bits_per_dim"]
    assert task.history_[-1] < 0.7 * task.history_[0]


def test_a_network_that_says_nothing_leaves_the_histograms(encoder):
    task = Autoregressive.Config(epochs=1).build(encoder).fit([waves(8, 3)])
    for parameter in task.decoder.last.parameters():
        torch.nn.init.zeros_(parameter)
    figures = task.evaluate([waves(8, 3, seed=1)])
    assert figures["bits_per_dim"] == pytest.approx(figures["histogram_bits_per_dim"], rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_probabilities_of_all_images_sum_to_one(encoder, channels):
    # Two levels, a block of one row: every image of it can be counted through.
    task = Autoregressive.Config(levels=2, width=8).build(encoder).eval()
    colours = 1 if channels == 1 else 3
    every = torch.cartesian_prod(*[torch.arange(2)] * (2 * colours)).reshape(-1, colours, 1, 2)
    hint = torch.rand(1, 6, 1, 2).expand(len(every), -1, -1, -1)
    logits = task.decoder(hint, every.expand(-1, 3, -1, -1))[:, :, :colours]
    nats = torch.nn.functional.cross_entropy(logits, every, reduction="none")
    assert nats.sum(dim=(1, 2, 3)).neg().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_neither_the_block_nor_what_follows_it_is_seen(encoder):
    # Only then the product over blocks is a density of the image.
    task = Autoregressive.Config(crop=12).build(encoder)
    images, other = waves(3, 1), torch.rand(3, 1, 24, 24)
    other[:, :, :10], other[:, :, 10:14, :8] = images[:, :, :10], images[:, :, 10:14, :8]
    places = torch.tensor([[10, 8]]).expand(3, 2)
    assert torch.equal(task._cut(images, places)[0], task._cut(other, places)[0])
    assert not torch.equal(task._cut(images, places)[1], task._cut(other, places)[1])


def test_examples_complete_the_block_and_nothing_else(encoder):
    images = waves(2, 3)
    task = Autoregressive.Config(epochs=1, crop=12).build(encoder).fit([images])
    pictures = task.examples(images)
    assert list(pictures) == ["context", "completed", "original"]
    block = (slice(None), slice(None), slice(14, 18), slice(14, 18))
    hidden = pictures["context"][block].flatten(2)
    assert torch.equal(hidden.amax(dim=2), hidden.amin(dim=2))
    differ = pictures["context"] != pictures["completed"]
    differ[block] = False
    assert not differ.any()


def test_completions_are_the_likeliest_levels_one_by_one(encoder):
    task = Autoregressive.Config(epochs=2, crop=9, levels=4).build(encoder).fit([waves(8, 3)])
    hidden, _ = task._cut(waves(2, 3, seed=3), torch.tensor([[10, 10]]).expand(2, 2))
    usual = task.histogram_.logits(torch.tensor([[10, 10]]).expand(2, 2), 3)
    completed = (task._complete(hidden, usual) * 4).long()
    assert torch.equal(task(hidden, completed, usual).argmax(dim=1), completed)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"block": 0.9}, {"levels": 1}, {"learning_rate": 0.0}, {"width": 2}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Autoregressive.Config(**wrong)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BlockModel(6, 8, 4, ReceptiveField(5, 2, 2)).eval()


def test_every_pixel_is_given_only_what_precedes_it(model):
    hint = model.hint(torch.rand(1, 6, 12, 12), 24, 5)
    levels = torch.randint(4, (1, 3, 5, 5))
    changed = levels.clone()
    changed[0, 1, 2, 3] = (levels[0, 1, 2, 3] + 1) % 4
    moved = (model(hint, levels) != model(hint, changed)).any(dim=1)[0]
    assert not moved[:, :2].any()
    assert not moved[:, 2, :3].any()
    assert moved[:, 2, 3].tolist() == [False, False, True]
    assert moved[:, 3].any()


def test_the_features_reach_the_whole_block(model):
    features = torch.rand(1, 6, 12, 12)
    one, other = model.hint(features, 24, 8), model.hint(features + 1, 24, 8)
    assert one.shape == (1, 6, 8, 8)
    assert (one != other).any(dim=1).all()


def test_the_first_rows_can_be_had_alone(model):
    hint, levels = torch.rand(2, 6, 5, 5), torch.randint(4, (2, 3, 5, 5))
    whole = model(hint, levels)
    assert whole.shape == (2, 4, 3, 5, 5)
    part = model(hint[:, :, :2], levels[:, :, :2])
    torch.testing.assert_close(part[:, :, :, 1], whole[:, :, :, 1])


def test_a_cell_tells_of_the_pixels_at_its_place():
    # Without the convolutions in between, the hint is the map brought to the size of the window.
    model = BlockModel(12, 4, 4, ReceptiveField(5, 2, 2))
    model.local, model.enlarge = torch.nn.Identity(), torch.nn.PixelShuffle(2)
    torch.nn.init.zeros_(model.overall.weight)
    torch.nn.init.zeros_(model.overall.bias)
    features = torch.rand(1, 12, 12, 12)
    whole = torch.nn.functional.pixel_shuffle(features, 2)
    for block in (5, 8):
        torch.testing.assert_close(model.hint(features, 24, block), whole[:, :, -block:, -block:])


def test_surprise_is_that_of_counts_plus_one():
    histogram = PixelHistogram(2)
    levels = torch.zeros(3, 3, 1, 1, dtype=torch.long)
    levels[0] = 1
    histogram.update(levels[:1])
    histogram.update(levels[1:])
    assert histogram.nats(levels)[0, 0, 0, 0].item() == pytest.approx(-math.log(2 / 5))
    assert histogram.nats(levels)[1, 0, 0, 0].item() == pytest.approx(-math.log(3 / 5))


def test_an_image_does_not_count_in_its_own_histogram():
    histogram = PixelHistogram(2)
    levels = torch.randint(2, (5, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    histogram.update(levels)
    others = PixelHistogram(2)
    others.update(levels[1:])
    place = torch.tensor([[1, 2]])
    own = levels[:1, :, 1:3, 2:4]
    assert torch.equal(histogram.logits(place, 2, own), others.logits(place, 2))


def test_images_of_another_size_are_refused():
    histogram = PixelHistogram(2)
    histogram.update(torch.zeros(1, 3, 4, 4, dtype=torch.long))
    with pytest.raises(InvalidInputError, match="size of the training images"):
        histogram.nats(torch.zeros(1, 3, 4, 5, dtype=torch.long))
