import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException
from mlflow.models.cli import commands

from tasks.registry import mlflow_store, model_versions
from tasks.serving.serve import build_app
from tests.processes import output_of
from tests.tasks.serving.test_serve import FRAMES, clip
from tests.tasks.serving.test_serve import wait_for as wait_until

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"flows", "models", "tasks", "tests", "tiny_detector"}:
            raise ModuleNotFoundError(f"{name} is not to be had here")

sys.meta_path.insert(0, Blocked())
"""
LOAD = """
import json, sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/squares@champion")
found = model.predict(np.load(sys.argv[1]), params={"anomaly_map": True})
assert "models" not in sys.modules and "tasks" not in sys.modules
asked, answered = sys.argv[2:]
mlflow.models.predict(
    "models:/squares@champion", input_path=asked, output_path=answered, env_manager="local"
)
print(json.dumps({
    "columns": list(found.columns),
    "image_score": found.image_score.tolist(),
    "p_value": found.p_value.tolist(),
    "anomalous": found.anomalous.tolist(),
    "map_shape": list(np.stack(found.anomaly_map).shape),
}))
"""


@pytest.fixture
def champion(register_detector):
    register_detector(loadable=True)
    client = mlflow_store.client()
    client.set_registered_model_alias("squares", "champion", "1")
    return model_versions.resolve(client, "squares", "champion")


@pytest.fixture
def elsewhere(tmp_path):
    """Environment of a process that cannot import this repository, and may load no pickle."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCK)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(folder),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }


def images(num=3, height=16, width=24):
    return np.random.default_rng(0).integers(0, 256, (num, 1, height, width), dtype=np.uint8)


def test_the_champion_loads_in_a_process_without_this_repository(champion, elsewhere, tmp_path):
    np.save(tmp_path / "images.npy", images())
    asked, answered = tmp_path / "asked.json", tmp_path / "answered.json"
    asked.write_text(json.dumps({"inputs": images().tolist()}))
    command = [sys.executable, "-c", LOAD, tmp_path / "images.npy", asked, answered]
    found = json.loads(output_of(command, env=elsewhere, cwd=tmp_path))
    expected = model_versions.load(champion).score(images(), map_size=(16, 24))
    assert found["columns"] == ["image_score", "p_value", "anomalous", "anomaly_map"]
    assert found["image_score"] == pytest.approx(expected.image_score.tolist())
    assert found["p_value"] == pytest.approx(expected.p_value.tolist())
    assert found["anomalous"] == expected.anomalous.tolist()
    assert found["map_shape"] == [3, 16, 24]
    rows = json.loads(answered.read_text())["predictions"]
    assert [row["image_score"] for row in rows] == pytest.approx(found["image_score"])


def test_mlflow_serves_the_same_model_with_the_scores_of_our_own_server(
    settled, elsewhere, tmp_path
):
    packaged = model_versions.load(
        model_versions.resolve(mlflow_store.client(), "squares", "champion")
    )
    with TestClient(build_app("squares", poll_seconds=0.05)) as session:
        wait_until(lambda: session.get("/health").status_code == 200 or None)
        ours = session.post("/predict", files=clip()).json()["frames"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", "models:/squares@champion", "-p", str(port)]
    log = (tmp_path / "serve.log").open("w")
    server = subprocess.Popen(
        [*command, "--workers", "1", "--env-manager", "local"],
        env=elsewhere,
        cwd=tmp_path,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "serve.log")
        url = f"http://127.0.0.1:{port}/invocations"
        windows = packaged.preprocessing(FRAMES)
        asked = {"inputs": windows.tolist()}
        rows = httpx.post(url, json=asked, timeout=180).json()["predictions"]
        expected = packaged.score(windows)
        assert [row["image_score"] for row in rows] == pytest.approx(expected.image_score.tolist())
        assert rows[0].keys() == {"image_score", "p_value", "anomalous"}
        for key in rows[0]:
            assert [row[key] for row in rows] == pytest.approx([each[key] for each in ours])
        asked["params"] = {"anomaly_map": True}
        rows = httpx.post(url, json=asked, timeout=180).json()["predictions"]
        assert np.shape(rows[0]["anomaly_map"]) == (16, 24)
        assert httpx.post(url, json={"inputs": [[1, 2]]}, timeout=180).status_code == 400
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)
        log.close()


def wait_for(url, server, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_mlflow_writes_the_dockerfile_of_an_image_that_holds_the_model(champion, tmp_path):
    command = ["generate-dockerfile", "-m", "models:/squares@champion", "-d", str(tmp_path)]
    done = CliRunner().invoke(commands, command)
    assert done.exit_code == 0, done.output
    text, model = (tmp_path / "Dockerfile").read_text(), tmp_path / "model_dir"
    assert f"RUN pip install mlflow=={mlflow.__version__}" in text
    assert "COPY model_dir /opt/ml/model" in text
    package = model_versions.folder(champion.source)
    digest = (package / "digest.json").read_bytes()
    assert (model / "artifacts" / package.name / "digest.json").read_bytes() == digest
    assert "torch==" in (model / "requirements.txt").read_text()


def test_inputs_of_another_number_of_channels_are_refused(champion):
    model = mlflow.pyfunc.load_model("models:/squares@champion")
    with pytest.raises(MlflowException, match=r"does not match expected shape \(-1, 1, -1, -1\)"):
        model.predict(np.zeros((2, 6, 16, 24), dtype=np.uint8))


def test_the_logged_model_is_code_and_data_and_pins_what_it_needs(champion):
    folder = model_versions.folder(champion.source).parents[1]
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {"", ".py", ".txt", ".yaml", ".json", ".safetensors"}
    requirements = (folder / "requirements.txt").read_text().split()
    assert all("==" in line and "+" not in line for line in requirements)
    assert {"torch", "safetensors", "mlflow"} <= {line.split("==")[0] for line in requirements}


def test_the_environment_says_what_it_scores_by(champion, monkeypatch):
    monkeypatch.setenv("UNSEEN_ENGINE", "onnxruntime")  # the champion was made without a program
    with pytest.raises(Exception, match="This version cannot run on onnxruntime"):
        mlflow.pyfunc.load_model("models:/squares@champion")
    monkeypatch.setenv("UNSEEN_ENGINE", "torch")
    model = mlflow.pyfunc.load_model("models:/squares@champion").unwrap_python_model()
    assert model.packaged.engine.why == "It was asked for."
