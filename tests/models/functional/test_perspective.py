import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from models.functional.perspective import LARGEST, SMALLEST, RowSpeeds, row_scales


def line_of(*parts):
    seen = RowSpeeds()
    for part in parts:
        seen.update(part)
    return seen.line()


def test_the_line_is_the_weighted_least_squares_fit_to_the_mean_speeds():
    speeds = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    speeds = speeds * torch.linspace(1, 3, 6)[:, None]
    rows = np.broadcast_to(np.arange(6)[None, :, None], speeds.shape)
    fitted = LinearRegression().fit(
        rows.reshape(-1, 1), speeds.flatten().numpy(), sample_weight=speeds.flatten().numpy()
    )
    origin, slope = line_of(speeds).tolist()
    at_origin = fitted.predict([[origin]]).item()
    assert fitted.coef_[0] / at_origin == pytest.approx(slope)
    mean = float((speeds**2).sum() / speeds.sum())
    assert at_origin == pytest.approx(mean)


def test_parts_give_what_all_images_give_together():
    speeds = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(line_of(speeds[:1], speeds[1:]), line_of(speeds))


def test_divided_by_their_scales_rows_are_equally_fast():
    speeds = (1 + 0.1 * torch.arange(8.0))[None, :, None].expand(2, 8, 4)
    scaled = speeds / row_scales(line_of(speeds), 8)[:, None]
    torch.testing.assert_close(scaled, scaled[:, :1].expand_as(scaled))


@pytest.mark.parametrize(
    "speeds", [torch.zeros(2, 4, 3), torch.eye(4)[2][None, :, None], torch.ones(1, 4, 2)]
)
def test_where_nothing_moves_or_in_one_row_or_all_alike_nothing_is_scaled(speeds):
    assert torch.equal(row_scales(line_of(speeds), 4), torch.ones(4).double())


def test_before_anything_was_seen_nothing_is_scaled():
    assert torch.equal(row_scales(RowSpeeds().line(), 3), torch.ones(3).double())


def test_scales_stay_in_their_range():
    scales = row_scales(torch.tensor([3.0, 0.5]), 12)
    assert scales.min() == SMALLEST
    assert scales.max() == LARGEST
