import pytest
import torch

from models.functional.receptive_field import ReceptiveField
from models.pretext._decoder import Decoder


@pytest.mark.parametrize(
    ("field", "cells"), [(ReceptiveField(51, 8, 18), (11, 10)), (ReceptiveField(5, 2, 2), (48, 44))]
)
def test_paints_images_of_any_size(field, cells):
    painted = Decoder(6, 8, field)(torch.rand(2, 6, *cells), 96, 88)
    assert painted.shape == (2, 3, 96, 88)


def test_a_cell_paints_around_the_centre_of_its_field():
    torch.manual_seed(0)
    field = ReceptiveField(51, 8, 18)
    decoder, features = Decoder(6, 8, field).eval(), torch.zeros(1, 6, 20, 20)
    changed = features.clone()
    changed[0, :, 9, 12] = 5
    with torch.no_grad():
        seen = (decoder(features, 170, 170) != decoder(changed, 170, 170)).any(dim=1)[0]
    rows, columns = seen.any(dim=1).nonzero()[:, 0], seen.any(dim=0).nonzero()[:, 0]
    top, left, bottom, right = field.box(9, 12, 170, 170)
    assert (rows[0] + rows[-1]).item() == pytest.approx(top + bottom - 1, abs=1)
    assert (columns[0] + columns[-1]).item() == pytest.approx(left + right - 1, abs=1)
