import numpy as np
import pytest
import torch

from models.errors import TrainingError
from models.functional.array_moments import ArrayMoments
from models.functional.gaussian import Moments


def samples(num=40, dim=5, seed=0):
    draw = np.random.default_rng(seed)
    return 1e3 + draw.normal(size=(num, dim)) @ draw.normal(size=(dim, dim))


def test_parts_are_what_tensors_give_for_the_whole():
    given, found, other = samples(), ArrayMoments(5), ArrayMoments(5)
    for part in (given[:7], given[:0], given[7:8]):
        found.update(part)
    other.update(given[8:])
    found.merge(other)
    found.merge(ArrayMoments(5))
    expected = Moments(5)
    expected.update(torch.from_numpy(given))
    assert found.count == 40
    np.testing.assert_allclose(found.mean, expected.mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(found.scatter, expected.scatter.numpy(), rtol=1e-9)


def test_what_is_written_is_read_and_tensors_read_it_too():
    made = ArrayMoments(5)
    made.update(samples())
    read = ArrayMoments.from_arrays(made.arrays())
    assert read.count == made.count
    np.testing.assert_array_equal(read.mean, made.mean)
    np.testing.assert_array_equal(np.tril(read.scatter), np.tril(made.scatter))
    of_tensors = Moments.from_tensors({k: torch.tensor(v) for k, v in made.arrays().items()})
    np.testing.assert_array_equal(of_tensors.scatter.numpy(), read.scatter)


def test_what_is_not_finite_is_refused():
    with pytest.raises(TrainingError, match="must be finite"):
        ArrayMoments(1).update(np.array([[np.nan]]))
