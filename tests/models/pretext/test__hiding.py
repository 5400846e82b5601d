import pytest
import torch

from models.functional.holes import centre_holes
from models.functional.mean_frames import mean_frames
from models.pretext._hiding import FILL, filled, hide, squared_error

HOLE = centre_holes(4, 24, 24, 0.4)
NONE, ALL = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)


def test_what_is_in_the_hole_stays_hidden():
    # Only then the loss cannot be solved by copying.
    images = torch.rand(4, 6, 24, 24)
    other = torch.where(HOLE[:, None], torch.rand(4, 6, 24, 24), images)
    assert torch.equal(filled(images, HOLE, NONE), filled(other, HOLE, NONE))
    newest = torch.cat([images[:, :4], other[:, 4:]], dim=1)
    assert torch.equal(filled(images, HOLE, ALL), filled(newest, HOLE, ALL))
    assert torch.equal(filled(images, HOLE, ALL)[:, :4], images[:, :4])


def test_the_error_ignores_what_is_outside_the_hole():
    hidden = hide(torch.rand(4, 1, 24, 24), HOLE, NONE)
    painted = torch.rand(4, 3, 24, 24)
    other = torch.where(HOLE[:, None], painted, torch.rand(4, 3, 24, 24))
    errors = [squared_error(answer, hidden, 10.0) for answer in (painted, other)]
    assert errors[0] == errors[1] > 0


def test_the_error_is_the_mean_square_of_still_images():
    images, painted = torch.rand(4, 3, 24, 24), torch.rand(4, 3, 24, 24)
    error = squared_error(painted, hide(images, HOLE, NONE), 10.0)
    expected = (painted - images).square().transpose(0, 1)[:, HOLE].mean()
    torch.testing.assert_close(error, expected)


def test_a_band_around_the_hole_is_seen_and_weighs_more():
    images = torch.rand(4, 1, 24, 24)
    hidden = hide(images, HOLE, NONE, overlap=3, overlap_gain=10.0)
    rows = hidden.weight[0, 0].amax(dim=1)
    assert rows.tolist() == [0] * 4 + [10] * 3 + [10] * 9 + [10] * 3 + [0] * 5
    assert hidden.weight[0, 0, 12].tolist() == [0] * 4 + [10] * 3 + [1] * 9 + [10] * 3 + [0] * 5
    band = (hidden.weight == 10).expand(-1, 3, -1, -1)
    assert torch.equal(mean_frames(hidden.context)[band], hidden.target[band])
    assert (mean_frames(hidden.context)[HOLE[:, None].expand(-1, 3, -1, -1)] == FILL).all()
    inside, around = (hidden.target + 0.1 * (hidden.weight == weight) for weight in (1, 10))
    ratio = squared_error(around, hidden, 1.0) / squared_error(inside, hidden, 1.0)
    assert ratio.item() == pytest.approx(10 * (15**2 - 9**2) / 9**2, rel=1e-4)


def test_frames_that_were_not_hidden_cost_nothing():
    clips = torch.rand(4, 6, 24, 24)
    hidden = hide(clips, HOLE, ALL)
    wrong = hidden.target.clone()
    wrong[:, :2] = 0
    assert squared_error(wrong, hidden, 10.0) == 0
    wrong[:, 2] = 0
    assert squared_error(wrong, hidden, 10.0) > 0


def test_a_region_shows_the_painting_and_none_of_its_context():
    clips, painted = torch.rand(4, 6, 24, 24), torch.rand(4, 3, 24, 24)
    mixed = torch.tensor([True, False, False, False])
    hidden = hide(clips, HOLE, mixed, overlap=2, overlap_gain=10.0)
    region = hidden.region(painted)
    outside = (hidden.weight == 0).expand(-1, 3, -1, -1)
    assert (region[outside] == FILL).all()
    inside = ~outside
    assert torch.equal(region[1:][inside[1:]], painted[1:][inside[1:]])
    assert torch.equal(region[0, :2][inside[0, :2]], hidden.target[0, :2][inside[0, :2]])
    assert torch.equal(region[0, 2][inside[0, 2]], painted[0, 2][inside[0, 2]])
