import pytest
import torch
from torch import nn

from models.encoders.alexnet import AlexNetTrunk
from models.functional.receptive_field import (
    Layer,
    ReceptiveField,
    receptive_field,
    roll_back,
    votes,
)


def test_alexnet_conv2_sees_51_pixels_every_8():
    assert receptive_field([Layer(11, 4, 2), Layer(3, 2), Layer(5, 1, 2)]) == (51, 8, 18)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (4, 5), (7, 3), (8, 10)])
def test_a_box_is_where_the_gradient_of_its_cell_is(row, column):
    torch.manual_seed(0)
    trunk = AlexNetTrunk.Config(temporal=False).build().double()
    # Max pooling would pass the gradient of one pixel only; its mean sees what it may see.
    trunk.features[1], trunk.features[2] = nn.Identity(), nn.AvgPool2d(3, 2)
    trunk.features[4] = nn.Identity()
    image = torch.rand(1, 1, 79, 95, dtype=torch.float64, requires_grad=True)
    trunk(image)[0, :, row, column].sum().backward()
    seen = image.grad[0, 0] != 0
    rows, columns = seen.any(dim=1).nonzero()[:, 0], seen.any(dim=0).nonzero()[:, 0]
    box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
    assert trunk.receptive_field.box(row, column, 79, 95) == tuple(int(edge) for edge in box)


def naive(scores, field, height, width, num_votes):
    result = torch.full((height, width), -torch.inf)
    for y in range(height):
        for x in range(width):
            covering = []
            for i in range(scores.shape[0]):
                for j in range(scores.shape[1]):
                    top, left, bottom, right = field.box(i, j, height, width)
                    if top <= y < bottom and left <= x < right:
                        covering.append(scores[i, j].item())
            if covering:
                covering.sort(reverse=True)
                result[y, x] = covering[min(num_votes, len(covering)) - 1]
    return result


@pytest.mark.parametrize("num_votes", [1, 3, 50])
@pytest.mark.parametrize(
    "field", [ReceptiveField(7, 3, 2), ReceptiveField(2, 4, 0), ReceptiveField(5, 2, -3)]
)
def test_roll_back_matches_a_naive_loop(field, num_votes):
    scores = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0))
    scores[0, 1, 2], scores[1, 3, 0] = torch.inf, -torch.inf
    found = roll_back(scores, field, 15, 18, num_votes=num_votes)
    for one, score in zip(found, scores, strict=True):
        torch.testing.assert_close(one, naive(score, field, 15, 18, num_votes))


def test_a_pixel_reaches_the_threshold_exactly_if_enough_rejected_fields_cover_it():
    field = ReceptiveField(51, 8, 18)
    scores = torch.rand(3, 9, 12, generator=torch.Generator().manual_seed(0))
    covered = votes(torch.ones(1, 9, 12, dtype=torch.bool), field, 83, 107).clamp(max=4)
    by_votes = votes(scores >= 0.9, field, 83, 107) >= covered
    rolled = roll_back(scores, field, 83, 107, num_votes=4)
    assert torch.equal(rolled >= 0.9, by_votes)
    assert by_votes.any()
    assert not by_votes.all()
