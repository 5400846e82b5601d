import json
import os
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from models.errors import InvalidInputError
from tasks.packaging import program
from tasks.packaging.program import (
    ENGINES,
    EXPECTED,
    FOLDER,
    Program,
    choose,
    default_threads,
    difference,
    noise,
)
from tests.tasks.packaging.test_make_program import exported, images  # noqa: F401
from tests.tasks.packaging.test_package import detector, folder  # noqa: F401


@pytest.fixture
def at(exported):  # noqa: F811
    return exported / FOLDER


def never(_):
    raise AssertionError


def note(at, **told):
    """Let the record say what was found when the version was registered."""
    path = at / "program.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **told}))


def slow(at):
    note(at, slow=True)


def quick(at):
    note(at, slow=False)


def test_torch_scores_clips_only_where_it_was_quicker_and_nobody_asked_for_an_engine(at):
    note(at, slow=False, slow_on_clips=True)
    assert choose(at, "auto", 1, never)[0].clips_by_torch
    for engine, by_torch in (("onnxruntime", never), ("steady", never), ("auto", None)):
        assert not choose(at, engine, 1, by_torch)[0].clips_by_torch
    note(at, slow_on_clips=False)
    assert not choose(at, "auto", 1, never)[0].clips_by_torch


@pytest.mark.parametrize(("seconds", "kept"), [(0.031, True), (0.033, False)])
def test_clips_are_torchs_no_more_once_it_is_slower(at, monkeypatch, seconds, kept):
    note(at, slow=False, slow_on_clips=True)
    monkeypatch.setattr(program, "milliseconds", lambda *_: 2.0)
    found = choose(at, "auto", 1, never)[0]
    for took in (seconds, 0.001):
        found.note_torch(16, took)
        assert found.clips_by_torch == kept


def test_the_fastest_engine_is_chosen(at, monkeypatch):
    slow(at)
    taken = iter([5.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(program, "milliseconds", lambda *_: next(taken))
    found, choice = choose(at, "auto", 1, never)
    assert found.engine == choice.engine == "onnxruntime"
    assert choice.milliseconds["torch"] == 5.0
    assert choice.told()["threads"] == 1


@pytest.mark.parametrize(("milliseconds", "threads"), [(4.0, 1), (6.0, 2)])
def test_a_heavy_program_gets_the_threads_that_a_server_sets(
    at, monkeypatch, milliseconds, threads
):
    monkeypatch.setattr(program, "milliseconds", lambda *_: milliseconds)
    monkeypatch.setattr(program, "heavy_threads", 2)
    found, choice = choose(at, "auto", 1, never)
    assert choice.threads == threads
    assert found.engine == choice.engine


@pytest.mark.parametrize(("by_torch", "engine"), [(1.9, "onnxruntime"), (1.3, "torch")])
def test_torch_must_be_much_faster_than_a_program(at, monkeypatch, by_torch, engine):
    slow(at)
    taken = iter([by_torch, 2.0, 3.0, 4.0])
    monkeypatch.setattr(program, "milliseconds", lambda *_: next(taken))
    choice = choose(at, "auto", 1, never)[1]
    assert choice.engine == engine
    assert ("but for torch" in choice.why) == (engine != "torch")


def test_torch_is_chosen_where_it_is_faster(at):
    slow(at)
    found, choice = choose(at, "auto", 1, lambda _: None)
    assert found is None
    assert choice.engine == "torch"
    assert min(choice.milliseconds, key=choice.milliseconds.get) == "torch"


def test_torch_is_not_even_tried_where_it_was_the_slower_one(at):
    quick(at)
    for by_torch in (never, None):
        found, choice = choose(at, "auto", 1, by_torch)
        assert found.engine == choice.engine
        assert "torch" not in choice.milliseconds


def test_an_engine_that_gives_something_else_is_refused(at):
    expected = load_file(at / EXPECTED)
    expected["image_score"] = expected["image_score"] * 1.001
    save_file(expected, at / EXPECTED)
    with pytest.raises(InvalidInputError, match="must give here what torch gave"):
        choose(at, "onnxruntime", 1, never)
    for known in (slow, quick):
        known(at)
        found, choice = choose(at, "auto", 1, lambda _: None)
        assert found is None
        assert choice.engine == "torch"
        assert "onnxruntime: onnxruntime must give" in choice.why


def test_the_telemetry_of_onnx_runtime_is_off(at, monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    Program(at, "onnxruntime", threads=1)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_a_package_without_a_program_runs_on_torch(tmp_path):
    found, choice = choose(tmp_path, "auto", 1, never)
    assert found is None
    assert "older version" in choice.why
    with pytest.raises(InvalidInputError, match="cannot run on openvino"):
        choose(tmp_path, "openvino", 1, never)


def test_an_unknown_engine_is_named(at):
    with pytest.raises(InvalidInputError, match="onnxruntime, openvino"):
        Program(at, "tensorrt", 1)


def test_features_come_only_when_they_are_asked_for(at):
    record = json.loads((at / "program.json").read_text())
    assert set(Program(at, ENGINES[0], 1)(noise((6, 16, 24)))) == set(record["outputs"])
    assert Program(at, ENGINES[0], 1).fits(noise((6, 16, 24)))
    assert not Program(at, ENGINES[0], 1).fits(noise((6, 16, 25)))


def test_noise_is_the_same_everywhere():
    found = noise((1, 4, 4))
    assert found.dtype == np.uint8
    assert found[0, 0, 0].tolist() == [0, 60, 120, 181]
    assert 100 < noise((3, 64, 64)).mean() < 155
    assert noise((3, 64, 64)).std() > 60


def test_differences_are_relative_to_the_largest_value():
    expected = np.array([0.0, -200.0, np.inf])
    assert difference(expected, expected) == 0
    assert difference(np.array([1.0, -200.0, np.inf]), expected) == 1 / 200
    assert difference(np.array([0.0, -200.0]), expected) == np.inf
    assert not difference(np.array([np.nan, -200.0, np.inf]), expected) <= 1


def test_threads_are_those_of_torch_or_of_the_environment(monkeypatch):
    assert default_threads() == torch.get_num_threads()
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert default_threads() >= 1
