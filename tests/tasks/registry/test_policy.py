import math

import pytest

from models.errors import InvalidInputError
from tasks.registry.policy import PARTS, PromotionPolicy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metric", "pixel_eer"),
        ("margin", -0.1),
        ("floor", 1.0),
        ("floor", -1.1),
        ("margin", math.nan),
        ("confidence", 1.0),
        ("confidence", 0.5),
        ("num_resamples", 0),
    ],
)
def test_terms_out_of_range_are_refused(field, value):
    with pytest.raises(InvalidInputError, match=f"{field} must be"):
        PromotionPolicy(**{field: value})


def test_what_needs_no_labels_is_compared_by_both_of_its_metrics():
    policy = PromotionPolicy(metric="label_free")
    assert policy.parts == PARTS["label_free"] == ("put_in_auroc", "false_alarm_rate")
    with pytest.raises(InvalidInputError, match="floor must be None for label_free"):
        PromotionPolicy(metric="label_free", floor=0.6)
    assert "floor" not in policy.figures()
    assert PromotionPolicy(floor=0.6).figures()["floor"] == 0.6
