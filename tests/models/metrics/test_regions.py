import numpy as np
import pytest
from scipy import ndimage

from models.errors import InvalidInputError
from models.metrics.regions import aupro


def example(seed=0):
    draw = np.random.default_rng(seed)
    masks = np.zeros((3, 12, 14), dtype=bool)
    masks[0, 2:5, 2:9], masks[0, 8:10, 8:10], masks[2, 0:2, 10:] = True, True, True
    return draw.normal(size=masks.shape).round(1) + masks, masks


def naive(maps, masks, limit):
    labels = [ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks]
    curve = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        reached = maps >= threshold
        overlaps = [
            reached[image][labels[image] == region].mean()
            for image in range(len(maps))
            for region in range(1, labels[image].max() + 1)
        ]
        curve.append((reached[~masks].mean(), np.mean(overlaps)))
    rates, overlaps = np.array(curve).T
    fine = np.linspace(0, limit, 200_001)
    return np.trapezoid(np.interp(fine, rates, overlaps), fine) / limit


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_it_is_what_a_loop_over_thresholds_and_regions_finds(limit):
    maps, masks = example()
    assert aupro(maps, masks, limit=limit) == pytest.approx(naive(maps, masks, limit), abs=2e-3)


def test_perfect_maps_have_one_and_constant_ones_have_chance():
    _, masks = example()
    assert aupro(masks.astype(float), masks) == pytest.approx(1)
    assert aupro(np.zeros(masks.shape), masks) == pytest.approx(0.15)


def test_a_small_region_counts_as_much_as_a_large_one():
    masks = np.zeros((1, 10, 20), dtype=bool)
    masks[0, :8, :8], masks[0, 8:, 18:] = True, True
    only_small = np.zeros(masks.shape)
    only_small[0, 8:, 18:] = 1
    # One region of two at once; the other comes with every normal pixel.
    assert aupro(only_small, masks) == pytest.approx((0.5 + 0.65) / 2)


def test_nothing_to_find_and_numbers_that_are_none_are_refused():
    maps, masks = example()
    for given in (np.zeros_like(masks), np.ones_like(masks)):
        with pytest.raises(InvalidInputError, match="an anomalous pixel"):
            aupro(maps, given)
    with pytest.raises(InvalidInputError, match="1 NaN"):
        aupro(np.where(np.arange(maps.size).reshape(maps.shape) == 7, np.nan, maps), masks)
    with pytest.raises(InvalidInputError, match="limit must be"):
        aupro(maps, masks, limit=0.0)
