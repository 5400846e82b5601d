import dataclasses

import numpy as np
import pytest
import torch

from benchmarks import pretext
from benchmarks._rows import Rows
from benchmarks._sets import ImageSet
from benchmarks.pretext import Benchmark, beaten, margins, run, verdicts
from models.errors import InvalidInputError


def test_wins_need_intervals_that_do_not_overlap():
    metrics = {
        "probe_random_mnist": 0.80,
        "probe_random_mnist_std": 0.01,
        "probe_clear_mnist": 0.83,
        "probe_clear_mnist_std": 0.01,
        "probe_close_mnist": 0.815,
        "probe_close_mnist_std": 0.01,
        "detector_auc_random_ped2": 0.6,
        "detector_auc_clear_ped2": 0.7,
    }
    found = verdicts(metrics, ["random", "clear", "close"], ["mnist", "ped2"])
    assert found["wins_clear"] == 1
    assert found["wins_close"] == 0
    assert found["detector_gain_clear_ped2"] == pytest.approx(0.1)


def test_a_task_is_held_to_its_own_trivial_answer():
    assert margins({"hole_mse": 0.004, "mean_image_mse": 0.005, "psnr": 20})["margin"] == (
        pytest.approx(0.2)
    )
    assert margins({"triplet_accuracy": 0.7, "pixel_triplet_accuracy": 0.75})["margin"] == (
        pytest.approx(-0.05)
    )
    held = margins({"accuracy": 0.5, "chance": 0.2, "accuracy_rotation": 0.9})
    assert held == {"accuracy": 0.5, "chance": 0.2, "margin": pytest.approx(0.3)}


def test_a_margin_counts_that_is_larger_than_its_spread():
    metrics = {
        "margin_a_ped2": 0.1,
        "margin_a_ped2_std": 0.05,
        "margin_b_ped2": 0.1,
        "margin_b_ped2_std": 0.2,
    }
    assert beaten(metrics, ["a", "b"], ["ped2", "cifar10"]) == {
        "beats_a_ped2": 1.0,
        "beats_b_ped2": 0.0,
    }


def test_what_is_missing_is_told(tmp_path):
    absent = Benchmark(tmp_path, 10, 1).absent()
    assert {"mnist", "fashion", "ped2", "squeezenet"} <= absent.keys()


class Broken(Benchmark):
    """One row fails, the other has a figure; both are asked for on one set."""

    def set_names(self):
        return ["mnist"]

    def measure(self, row, *_):
        if row == "broken":
            raise InvalidInputError("No movement.")
        return {"probe": 0.5}, ""


def test_a_broken_row_costs_no_other(tmp_path):
    rows = Rows({}, tmp_path)
    failed = run(Broken(tmp_path, 10, 1), rows, ["broken", "whole"], [0, 1])
    assert failed == {"failed_broken_mnist": "InvalidInputError: No movement."}
    assert rows.metrics()["probe_whole_mnist"] == 0.5


def test_tasks_that_need_clips_are_trained_there(tmp_path, monkeypatch):
    benchmark = Benchmark(tmp_path, 10, 100)
    benchmark._readers = {"ped2": None, "mnist": None}
    still = ImageSet(
        train=torch.zeros(2, 1, 4, 4),
        test=torch.zeros(2, 1, 4, 4),
        train_labels=np.zeros(2, dtype=np.int64),
        test_labels=np.zeros(2, dtype=np.int64),
    )
    clips = dataclasses.replace(still, train_labels=None)
    monkeypatch.setattr(benchmark, "sets", lambda name: clips if name == "ped2" else still)

    def solve(task, image_set, *, seed, steps):
        if image_set is still:
            raise InvalidInputError("No clips.")
        assert steps == 40
        return "solved"

    monkeypatch.setattr(pretext, "solve", solve)
    assert benchmark._solved_somewhere("context_encoder", "ped2", 0) == ("solved", "")
    solved, note = benchmark._solved_somewhere("context_encoder", "mnist", 0)
    assert solved == "solved"
    assert note == "trained on ped2, because here: No clips."
