import hashlib
import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient

from models.errors import InvalidInputError, NotFoundError
from tasks.packaging import package
from tasks.packaging.program import PARITY, noise
from tasks.registry import mlflow_store, model_versions
from tasks.serving.export import FORMATS, export
from tasks.serving.serve import build_app
from tests.tasks.serving.test_serve import FRAMES, clip, wait_for


@pytest.fixture(scope="module", autouse=True)
def with_program(settled):
    settled.deploy(program=True)


@pytest.fixture
def packaged(settled):
    version = model_versions.find(mlflow_store.client(), "squares")
    return package.load(model_versions.folder(version.source))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_example_scores_as_the_detector(settled, packaged, tmp_path, kind):
    target = tmp_path / "out"
    about = export("squares", target, kind)
    images = noise(tuple(about["input"]["shape"][1:]))
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, target / "example.py", tmp_path / "images.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line.split() for line in done.stdout.splitlines()]
    raw = packaged.forward(images).image_score
    p_values = packaged.calibration.p_values(raw)
    for words, score, p_value in zip(found, raw, p_values, strict=True):
        assert float(words[1]) == pytest.approx(score, rel=PARITY)
        assert float(words[3]) == pytest.approx(p_value, rel=1e-2)
        assert words[5] == str(score >= packaged.threshold)


def test_all_that_is_exported_is_described_and_summed(settled, packaged, tmp_path):
    target = tmp_path / "out"
    about = export("squares", target)
    assert about == json.loads((target / "detector.json").read_text())
    assert about["model_digest"] == packaged.digest
    assert about["threshold"] == packaged.threshold
    assert about["parity"]["image_score"] <= PARITY
    assert json.loads((target / "lineage.json").read_text()) == packaged.lineage
    sums = dict(line.split("  ")[::-1] for line in (target / "SHA256SUMS").read_text().splitlines())
    names = {path.name for path in target.iterdir()} - {"SHA256SUMS"}
    assert sums.keys() == names
    for name, value in sums.items():
        assert hashlib.sha256((target / name).read_bytes()).hexdigest() == value
    example = (target / "example.py").read_text()
    assert len(example.splitlines()) <= 25
    assert "unseen" not in example


def test_maps_come_out_too(settled, packaged, tmp_path):
    about = export("squares", tmp_path / "out")
    images = noise(tuple(about["input"]["shape"][1:]))
    session = onnxruntime.InferenceSession(tmp_path / "out" / "detector.onnx")
    found = dict(
        zip(about["outputs"], session.run(list(about["outputs"]), {"images": images}), strict=True)
    )
    expected = packaged.forward(images).anomaly_map
    np.testing.assert_allclose(found["anomaly_map"], expected, atol=PARITY * expected.max())


def test_a_version_from_before_programs_says_what_it_lacks(settled, tmp_path):
    with pytest.raises(InvalidInputError, match="names no image_size"):
        export("squares@1", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused(settled, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInputError, match="must be a new folder"):
        export("squares", tmp_path)
    with pytest.raises(InvalidInputError, match="onnx, openvino, torch"):
        export("squares", tmp_path / "out", "tflite")
    with pytest.raises(NotFoundError):
        export("squares@99", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_server_runs_the_engine_that_is_asked_for(settled, packaged):
    for engine in ("onnxruntime", "torch"):
        app = build_app("squares", poll_seconds=0.05, engine=engine)
        with TestClient(app) as session:
            wait_for(lambda: session.get("/health").status_code == 200 or None)
            assert session.get("/health").json()["engine"] == engine
            found = session.post("/predict", files=clip()).json()["frames"]
        expected = packaged.predict(FRAMES)
        scores = [each["image_score"] for each in found]
        np.testing.assert_allclose(scores, expected.image_score, rtol=PARITY)
        assert [each["p_value"] for each in found] == expected.p_value.tolist()
