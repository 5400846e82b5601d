import copy
import json
import shutil

import numpy as np
import onnx
import pytest
import torch

from models.encoders.slim import SlimTrunk
from models.one_class.motion_gaussian import MotionGaussian
from tasks.packaging import make_program, package
from tasks.packaging.program import FILE, FOLDER, PARITY, Program
from tests import projects
from tests.tasks.packaging.test_package import clip, detector, folder, save  # noqa: F401


@pytest.fixture
def images():
    return torch.rand(3, 6, 16, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def exported(folder, detector, images, tmp_path_factory):  # noqa: F811
    """A package with a program: a copy of the one that is exported in this session."""

    def export(made):
        shutil.copytree(folder, made / "package")
        make_program.add_program(made / "package", detector, images)

    made = projects.once(tmp_path_factory, "exported", export)
    return shutil.copytree(made / "package", folder, dirs_exist_ok=True)


def test_a_clip_is_scored_by_torch_where_that_was_quicker(exported, monkeypatch):
    loaded, used = package.load(exported, engine="auto"), []
    run = loaded.program._run
    monkeypatch.setattr(loaded.program, "_run", lambda *given: used.append(given) or run(*given))
    windows = loaded.preprocessing(clip())
    loaded.program.clips_by_torch = False
    by_program = loaded.score(windows)
    assert used
    loaded.program.clips_by_torch = True
    used.clear()
    by_torch = loaded.score(windows)
    assert not used
    np.testing.assert_allclose(by_torch.image_score, by_program.image_score, rtol=PARITY)
    loaded.score(np.ascontiguousarray(windows))
    assert used  # windows that share no memory are the program's


def test_the_program_takes_over_a_clip_once_torch_is_slow(exported, monkeypatch):
    loaded, used = package.load(exported, engine="auto"), []
    run = loaded.program._run
    monkeypatch.setattr(loaded.program, "_run", lambda *given: used.append(given) or run(*given))
    windows = loaded.preprocessing(clip())
    by_program = loaded.score(windows, batch_size=1)
    used.clear()
    loaded.program.clips_by_torch, loaded.program.milliseconds = True, 0.0
    found = loaded.score(windows, batch_size=1)
    assert len(used) == len(windows) - 2 > 0  # the first batch may warm up, the second tells
    np.testing.assert_allclose(found.image_score, by_program.image_score, rtol=PARITY)


def test_the_program_scores_as_the_detector(exported):
    by_torch = package.load(exported).predict(clip(), anomaly_map=True)
    for engine in ("onnxruntime", "openvino"):
        loaded = package.load(exported, engine=engine)
        assert loaded.engine.engine == loaded.program.engine == engine
        found = loaded.predict(clip(), anomaly_map=True)
        np.testing.assert_allclose(found.image_score, by_torch.image_score, rtol=PARITY)
        np.testing.assert_allclose(found.anomaly_map, by_torch.anomaly_map, rtol=PARITY)
        assert (found.p_value == by_torch.p_value).all()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_movement_is_the_same_in_every_engine_where_displacements_tie(engine, tmp_path):
    draw = torch.Generator().manual_seed(0)
    half = torch.randint(0, 256, (16, 52, 128), generator=draw, dtype=torch.uint8)
    pattern = torch.cat([half, half.flip(1)], dim=1)  # up and down match alike in the middle
    parted = torch.maximum(pattern.roll(8, 1), pattern.roll(-8, 1))
    clips = torch.stack([pattern] * 4 + [parted] * 2, dim=1)
    config = MotionGaussian.Config(flow="blocks", perspective=True, appearance=False)
    fitted = config.build(SlimTrunk.Config(width=2).build()).fit([clips / 255], [clips / 255])
    assert make_program.write(tmp_path, fitted, clips[:8])["usable"]
    found = Program(tmp_path, engine, 1)(clips.numpy())
    expected = fitted(clips / 255)
    np.testing.assert_allclose(found["image_score"], expected.image_score, rtol=PARITY)
    np.testing.assert_allclose(found["anomaly_map"], expected.anomaly_map, rtol=PARITY, atol=PARITY)


def test_the_lineage_says_how_well_it_agrees(exported):
    told = package.load(exported).lineage["program"]
    assert told["usable"]
    assert 0 <= told["parity"]["image_score"] <= PARITY
    assert 0 <= told["parity"]["anomaly_map"] <= PARITY
    assert told["parity"]["num_images"] == 3


def test_the_program_says_nothing_of_the_machine_that_made_it(exported):
    text = str(onnx.load(exported / FOLDER / FILE))
    assert "stack_trace" not in text
    assert ".py" not in text


def test_equal_detectors_have_equal_programs(tmp_path, detector, images):  # noqa: F811
    for name in ("one", "other"):
        save(tmp_path / name, detector)
        make_program.add_program(tmp_path / name, detector, images)
    one, other = (tmp_path / name / FOLDER / FILE for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_one_that_cannot_be_exported_goes_without(folder, detector, images, monkeypatch):  # noqa: F811
    def by_numpy(self, images):
        scores = torch.from_numpy(np.array(images).mean(axis=(1, 2, 3)))
        return type(plain)(scores)

    plain = detector(images)
    monkeypatch.setattr(type(detector), "forward", by_numpy)
    record = make_program.add_program(folder, detector, images)
    assert not record["usable"]
    loaded = package.load(folder, engine="auto")
    assert loaded.program is None
    assert loaded.engine.engine == "torch"
    assert "cannot be exported" in loaded.engine.why
    assert not loaded.lineage["program"]["usable"]


def test_a_program_that_scores_otherwise_is_not_used(folder, detector, images, monkeypatch):  # noqa: F811
    real = make_program._exported

    def wrong(whole, images):
        other = copy.deepcopy(whole)
        other.kept[0].mean_ += 1
        return real(other, images)

    monkeypatch.setattr(make_program, "_exported", wrong)
    record = make_program.add_program(folder, detector, images)
    assert not record["usable"]
    assert record["parity"]["image_score"] > PARITY
    assert package.load(folder, engine="auto").engine.why == record["why"]
    assert json.loads((folder / FOLDER / "program.json").read_text()) == record
