import math

import pytest
import torch
from safetensors.torch import save_file

from models.errors import InvalidInputError
from tasks.lineage.compare_models import (
    AGREES,
    DIFFERS,
    IDENTICAL,
    STATE,
    Tolerance,
    compare_metrics,
    compare_tensors,
    worst,
)


@pytest.fixture
def write(tmp_path):
    def write_package(name, **weights):
        folder = tmp_path / name
        folder.mkdir()
        for part in STATE:
            save_file(
                weights if part == "weights" else {"x": torch.zeros(1)},
                folder / f"{part}.safetensors",
            )
        return folder

    return write_package


def verdicts(write, then, now, tolerance=0.01):
    found = compare_tensors(write("then", w=then), write("now", w=now), Tolerance(tensor=tolerance))
    return {each.name: each for each in found}


def test_equal_bits_are_identical_even_where_they_are_not_a_number(write):
    tensor = torch.tensor([1.0, math.nan, math.inf])
    found = verdicts(write, tensor, tensor.clone())
    assert {each.verdict for each in found.values()} == {IDENTICAL}
    assert set(found) == {"weights.w", "statistics.x", "calibration.x"}


def test_a_difference_is_relative_to_the_largest_magnitude(write):
    found = verdicts(write, torch.tensor([4.0, -8.0]), torch.tensor([4.0, -7.96]))["weights.w"]
    assert found.absolute == pytest.approx(0.04, rel=1e-5)
    assert found.relative == pytest.approx(0.005, rel=1e-5)
    assert found.verdict == AGREES


def test_one_bit_is_seen_and_no_tolerance_makes_it_differ(write):
    then = torch.ones(3)
    now = then.clone()
    now[1] = torch.nextafter(now[1], torch.tensor(2.0))
    assert verdicts(write, then, now, tolerance=0.0)["weights.w"].verdict == DIFFERS


@pytest.mark.parametrize(
    "now",
    [
        torch.ones(2),
        torch.ones(3).double(),
        torch.tensor([1.0, math.nan, 1.0]),
        torch.full((3,), 9.0),
    ],
    ids=["shape", "dtype", "nan", "value"],
)
def test_what_is_beyond_the_tolerance_differs(write, now):
    assert verdicts(write, torch.ones(3), now)["weights.w"].verdict == DIFFERS


def test_a_tensor_that_one_of_them_lacks_differs(write):
    found = compare_tensors(write("then", a=torch.ones(1)), write("now"), Tolerance())
    assert {each.name: each.verdict for each in found}["weights.a"] == DIFFERS


def test_metrics_are_compared_without_how_fast_it_was():
    then = {"frame_auc": 0.9, "threshold": 50.0, "frames_per_s": 30.0, "gone": 1.0}
    now = {"frame_auc": 0.905, "threshold": 51.0, "frames_per_s": 60.0}
    found = {each.name: each for each in compare_metrics(then, now, Tolerance(metric=0.01))}
    assert found.keys() == {"frame_auc", "threshold", "gone"}
    assert (found["frame_auc"].verdict, found["threshold"].verdict) == (AGREES, DIFFERS)
    assert found["threshold"].relative == pytest.approx(1 / 50)
    assert (found["frame_auc"].then, found["frame_auc"].now) == (0.9, 0.905)
    assert found["gone"].verdict == DIFFERS


def test_a_metric_is_compared_in_double_precision():
    (found,) = compare_metrics({"m": 0.1}, {"m": 0.1 + 1e-12}, Tolerance())
    assert found.verdict == AGREES
    assert found.absolute == pytest.approx(1e-12, rel=1e-3)


def test_the_worst_verdict_is_that_of_all():
    found = compare_metrics(
        {"a": 1.0, "b": 0.5, "c": 0.0}, {"a": 1.0, "b": 0.501, "c": 1.0}, Tolerance()
    )
    assert worst(found) == DIFFERS
    assert worst(found[:2]) == AGREES
    assert worst(found[:1]) == IDENTICAL


def test_a_tolerance_below_zero_is_refused():
    with pytest.raises(InvalidInputError, match="at least 0, got -1"):
        Tolerance(metric=-1)
