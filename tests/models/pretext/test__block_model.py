import pytest
import torch

from models.functional.receptive_field import ReceptiveField
from models.pretext._block_model import BlockModel


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
