from fractions import Fraction

import pytest
import torch
from jaxtyping import TypeCheckError
from sklearn.covariance import ShrunkCovariance

from models.errors import InvalidInputError, PrecisionLossError, TrainingError
from models.functional.gaussian import Moments, cholesky, mahalanobis, whitening


def samples(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def moments_of(*parts):
    moments = Moments(parts[0].shape[1])
    for part in parts:
        moments.update(part)
    return moments


def test_distance_to_a_unit_gaussian_is_euclidean():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert mahalanobis(x, torch.zeros(2), torch.eye(2)).tolist() == [5.0, 0.0]


def test_matches_scikit_learn():
    x = samples(50, 6)
    reference = ShrunkCovariance(shrinkage=0.1).fit(x.numpy())
    moments = moments_of(x[:7], x[7:8], x[8:])
    covariance = moments.covariance(0.1)
    torch.testing.assert_close(covariance, torch.from_numpy(reference.covariance_))
    distance = mahalanobis(x, moments.mean, whitening(cholesky(covariance)))
    torch.testing.assert_close(distance**2, torch.from_numpy(reference.mahalanobis(x.numpy())))


def test_parts_merge_to_the_whole_far_from_the_origin():
    x = samples(999, 4) + 1e6
    merged = moments_of(x[:10])
    merged.merge(moments_of(x[10:500]))
    merged.merge(moments_of(x[500:]))
    assert merged.count == 999
    torch.testing.assert_close(merged.mean, x.mean(dim=0), rtol=1e-14, atol=0)
    torch.testing.assert_close(
        merged.covariance(0.0), (x - 1e6).T.cov(correction=0), rtol=1e-9, atol=1e-12
    )


def test_scaled_moments_are_those_of_scaled_samples():
    x, factors = samples(30, 3), torch.tensor([2.0, 0.0, -3.0], dtype=torch.float64)
    scaled, expected = moments_of(x).scaled(factors), moments_of(x * factors)
    torch.testing.assert_close(scaled.mean, expected.mean)
    torch.testing.assert_close(scaled.scatter, expected.scatter)
    assert scaled.count == expected.count


def exact(x):
    """Mean and scatter in rational arithmetic, rounded once at the end."""
    rows = [[Fraction(value) for value in row] for row in x.tolist()]
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    centred = [[value - m for value, m in zip(row, mean, strict=True)] for row in rows]
    dims = range(len(mean))
    scatter = [[float(sum(row[i] * row[j] for row in centred)) for j in dims] for i in dims]
    scatter = torch.tensor(scatter, dtype=torch.float64)
    return torch.tensor([float(m) for m in mean], dtype=torch.float64), scatter


def relative_error(found, expected):
    """Largest error of an entry, against the spreads of its two features."""
    deviation = expected.diagonal().sqrt()
    return float(((found - expected).abs() / torch.outer(deviation, deviation)).max())


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("num_shards", [1, 2, 7, 60])
def test_shards_in_any_order_agree_with_rational_arithmetic(offset, num_shards):
    x = samples(60, 3) + offset
    mean, scatter = exact(x)
    shards = [moments_of(part) for part in x.chunk(num_shards)]
    for order in (shards, shards[::-1]):
        merged = Moments.combined(order, 3)
        assert merged.count == 60
        torch.testing.assert_close(merged.mean, mean, rtol=1e-14, atol=1e-14)
        assert relative_error(merged.scatter, scatter) < 1e-10


def test_a_hundred_million_samples_keep_their_digits():
    # Equal blocks, doubled: the scatter of 2^k copies of a block is 2^k times its scatter.
    first, second = samples(60, 3) + 1e6, 3 * samples(61, 3)[1:] + 1e6 + 1
    copies = 2**20
    parts = []
    for block in (first, second):
        grown = moments_of(block)
        while grown.count < copies * 60:
            grown.merge(Moments.from_tensors(grown.tensors()))
        parts.append(grown)
    merged = Moments.combined(parts, 3)
    _, scatter = exact(torch.cat([first, second]))
    assert merged.count == 2 * copies * 60 > 1e8
    assert relative_error(merged.scatter, copies * scatter) < 1e-10
    merged.subtract(parts[0])
    assert relative_error(merged.scatter, copies * exact(second)[1]) < 1e-9


def test_forgetting_by_hand():
    moments = moments_of(torch.tensor([[1.0], [2.0], [3.0], [10.0]]))
    moments.subtract(moments_of(torch.tensor([[10.0]])))
    assert moments.count == 3
    assert moments.mean.item() == pytest.approx(2.0)
    assert moments.scatter.item() == pytest.approx(2.0)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("num_removed", [1, 10, 50])
def test_forgetting_agrees_with_never_having_seen(offset, num_removed):
    x = samples(60, 3) + offset
    moments = moments_of(x)
    moments.subtract(moments_of(x[:num_removed]), tolerance=1e-7)
    mean, scatter = exact(x[num_removed:])
    assert moments.count == 60 - num_removed
    torch.testing.assert_close(moments.mean, mean, rtol=1e-14, atol=1e-13)
    assert relative_error(moments.scatter, scatter) < (1e-10 if offset < 1e6 else 1e-8)


def test_adding_and_forgetting_again_changes_nothing():
    x, y = samples(500, 8), 5 + 2 * samples(300, 8)
    moments = moments_of(x)
    for _ in range(50):
        moments.merge(moments_of(y))
        moments.subtract(moments_of(y))
    assert relative_error(moments.scatter, moments_of(x).scatter) < 1e-11


def test_forgetting_everything_leaves_nothing():
    x = samples(10, 2)
    moments = moments_of(x)
    moments.subtract(moments_of(x[:4], x[4:]))
    assert (moments.count, moments.mean.tolist(), moments.scatter.sum().item()) == (0, [0, 0], 0)


def test_forgetting_what_held_almost_all_spread_is_refused_and_changes_nothing():
    quiet, loud = 1e-6 * samples(50, 2), 1e6 * samples(51, 2)[1:]
    moments = moments_of(quiet, loud)
    before = moments.tensors()
    with pytest.raises(PrecisionLossError, match="2 of 2 features would lose more"):
        moments.subtract(moments_of(loud))
    assert all(torch.equal(before[name], value) for name, value in moments.tensors().items())


def test_a_feature_that_never_varied_can_stay_when_samples_go():
    x = torch.cat([samples(40, 2), torch.zeros(40, 1, dtype=torch.float64)], dim=1)
    moments = moments_of(x)
    moments.subtract(moments_of(x[:3]))
    torch.testing.assert_close(moments.scatter, moments_of(x[3:]).scatter)


def test_samples_that_were_never_seen_cannot_be_forgotten():
    moments = moments_of(samples(20, 3))
    with pytest.raises(InvalidInputError, match="20 were, 30 are to go"):
        moments.subtract(moments_of(samples(30, 3)))
    with pytest.raises(InvalidInputError, match="among those that were seen"):
        moments.subtract(moments_of(9 * samples(10, 3)))
    # Every variance shrinks, but no samples have the correlation that would be left.
    x = samples(400, 2)
    alike = x[:300, :1].repeat(1, 2)
    with pytest.raises(InvalidInputError, match="not that of any samples"):
        moments_of(x).subtract(moments_of(alike))
    with pytest.raises(InvalidInputError, match="must be those that were seen"):
        moments_of(x).subtract(moments_of(2 * x))


def test_plain_tensors_hold_moments_to_the_last_bit():
    moments = moments_of(samples(17, 5))
    plain = moments.tensors()
    assert plain["scatter"].shape == (15,)
    assert {value.dtype for value in plain.values()} == {torch.float64}
    back = Moments.from_tensors(plain)
    assert back.count == 17
    assert torch.equal(back.mean, moments.mean)
    assert torch.equal(back.scatter, (moments.scatter.tril() + moments.scatter.tril(-1).mT))


def test_nothing_is_neutral():
    x = samples(5, 2)
    moments = moments_of(x, x[:0])
    moments.merge(Moments(2))
    assert moments.count == 5
    torch.testing.assert_close(moments.mean, x.mean(dim=0))


def test_a_constant_feature_is_held_by_shrinkage():
    x = torch.cat([samples(20, 2), torch.ones(20, 1, dtype=torch.float64)], dim=1)
    moments = moments_of(x)
    assert cholesky(moments.covariance(0.01)).isfinite().all()
    with pytest.raises(TrainingError, match="Raise shrinkage"):
        cholesky(moments.covariance(0.0))


def test_equal_samples_are_refused():
    with pytest.raises(TrainingError, match="got 4 equal ones"):
        moments_of(torch.ones(4, 3)).covariance(0.1)


def test_no_samples_are_refused():
    with pytest.raises(TrainingError, match="got 0 equal ones"):
        Moments(3).covariance(0.1)


def test_samples_that_are_not_finite_are_refused():
    x = samples(4, 2)
    x[1, 1] = torch.nan
    with pytest.raises(TrainingError, match="must be finite"):
        moments_of(x)


def test_shrinkage_outside_its_interval_is_refused():
    with pytest.raises(ValueError, match=r"shrinkage must be in \[0, 1\], got 2.0"):
        moments_of(samples(4, 2)).covariance(2.0)


def test_shape_annotations_are_enforced_under_test():
    with pytest.raises(TypeCheckError, match="mean"):
        mahalanobis(torch.zeros(4, 2), torch.zeros(3), torch.eye(2))
