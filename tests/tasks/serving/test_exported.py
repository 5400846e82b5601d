"""An exported folder answers as the registered version does, also where there is no torch."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from uv import find_uv_bin

from models.errors import InvalidInputError, RegistryError
from tasks.packaging.program import PARITY
from tasks.registry import mlflow_store, model_versions
from tasks.serving.export import export
from tasks.serving.exported import Exported, is_one
from tasks.serving.monitoring import served_statistics
from tasks.serving.serve import build_app
from tests.processes import output_of
from tests.tasks.deployed import damaged
from tests.tasks.serving.test_serve import FRAMES, clip, wait_for
from tests.tasks.serving.test_serve_process import answers, free_port, started

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "tasks" / "serving" / "requirements.lock"
DRIFT = ("verdict", "why", "recent", "overall", "limit", "typical", "wanted", "score_edges")
"""What of a drift report does not depend on the time."""


@pytest.fixture(scope="module")
def folder(settled, tmp_path_factory):
    settled.deploy(program=True)
    made = tmp_path_factory.mktemp("exported") / "squares"
    export("squares", made)
    return made


def told(get, post):
    """All that a server says of itself and of a clip, once it has counted both its answers."""
    answers = {
        "predict": post("/predict", files=clip()).json(),
        "maps": post("/predict", files=clip(), data={"anomaly_map": "1"}).json(),
    }
    seen = f"{sum(len(each['frames']) for each in answers.values())} of"

    def drift():
        report = get("/drift").json()
        return report if report["why"].startswith(seen) else None

    return {
        **answers,
        "drift": wait_for(drift),
        "lineage": get("/lineage").json(),
        "health": get("/health").json(),
        "metrics": get("/metrics").text,
    }


@pytest.fixture(scope="module")
def expected(folder):
    """What the server of the registered version says."""
    app = build_app("squares", poll_seconds=0.05, engine="onnxruntime")
    with TestClient(app) as session:
        wait_for(lambda: session.get("/health").status_code == 200 or None)
        yield told(session.get, session.post)


def assert_the_same(found, expected):
    for name in ("predict", "maps"):
        one, other = found[name], expected[name]
        for frame, known in zip(one["frames"], other["frames"], strict=True):
            for key in ("image_score", "p_value", "q_value", "threshold"):
                assert frame[key] == pytest.approx(known[key], rel=PARITY)
            assert frame["anomalous"] == known["anomalous"]
            assert boxes(frame) == boxes(known)
            assert (frame["anomaly_map"] is None) == (known["anomaly_map"] is None)
        for key in ("model", "version", "run_id", "data", "clip_p_value", "calibration_clips"):
            assert one[key] == other[key]
    for key in DRIFT:
        assert found["drift"][key] == expected["drift"][key], key
    assert found["lineage"] == expected["lineage"]
    changing = {"since", "problem"}
    assert {k: v for k, v in found["health"].items() if k not in changing} == {
        k: v for k, v in expected["health"].items() if k not in changing
    }
    assert metrics(found) == metrics(expected)


def boxes(frame):
    """Where the regions of a frame are."""
    sides = ("left", "top", "width", "height")
    return [[region[side] for side in sides] for region in frame["regions"] or ()]


def metrics(found):
    """Names of the metrics of ours that a server tells."""
    return set(re.findall(r"^(unseen_\w+)", found["metrics"], re.MULTILINE))


def test_a_folder_answers_as_the_registered_version(folder, expected):
    assert is_one(str(folder))
    source = Exported(folder, engine="onnxruntime")
    saved = served_statistics.path_of("squares", source.deployed.version)
    saved.unlink(missing_ok=True)  # count anew
    app = build_app(source)
    with TestClient(app) as session:
        assert_the_same(told(session.get, session.post), expected)


def test_frames_of_another_size_are_refused_with_the_size_that_is_wanted(folder):
    deployed = Exported(folder, engine="onnxruntime").deployed
    with pytest.raises(InvalidInputError, match="6 x 16 x 24 values, and takes no others"):
        deployed.packaged.predict(np.zeros((8, 20, 20), dtype=np.uint8))


def test_a_changed_folder_is_not_served(folder):
    with damaged(folder / "calibration.safetensors"), pytest.raises(RegistryError, match="calibr"):
        Exported(folder)
    with damaged(folder / "trace.json", b""), pytest.raises(RegistryError, match=r"trace\.json"):
        Exported(folder)
    assert Exported(folder, engine="onnxruntime").deployed.version > 1


def test_what_torch_alone_can_run_is_not_served(folder, tmp_path):
    export("squares", tmp_path / "out", "openvino")
    with pytest.raises(InvalidInputError, match="format onnx that can be served"):
        Exported(tmp_path / "out")


def test_a_registered_version_scores_without_importing_torch(folder):
    version = model_versions.find(mlflow_store.client(), "squares")
    source = model_versions.folder(version.source)
    code = (
        "import sys, numpy as np\n"
        "import tasks.serving.serve\n"
        "from tasks.packaging import package\n"
        f"found = package.load({str(source)!r}, device='auto', engine='onnxruntime')\n"
        "found.predict(np.zeros((8, 16, 24), dtype=np.uint8), anomaly_map=True)\n"
        "print(sorted({'torch', 'mlflow', 'pandas', 'dvc'} & sys.modules.keys()))"
    )
    code = code.replace(f"{str(source)!r}", f"__import__('pathlib').Path({str(source)!r})")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert output_of([sys.executable, "-c", code], env=environment).strip() == "[]"


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """Python of an environment that holds what the lock names, and nothing else."""
    place = tmp_path_factory.mktemp("light") / "environment"
    python = place / "bin" / "python"
    uv = [find_uv_bin(), "--quiet"]
    output_of([*uv, "venv", "--python", sys.executable, str(place)])
    # Named outright: 'python -m uv' takes the environment that it runs in for the one to change,
    # whatever VIRTUAL_ENV says, and would take everything out of that of these tests.
    sync = [*uv, "pip", "sync", "--python", str(python), "--require-hashes", str(LOCK)]
    for options in (["--offline"], []):  # the cache has most of it since the setup
        made = subprocess.run([*sync, *options], check=False, capture_output=True, text=True)
        if made.returncode == 0:
            return python
    if "error sending request" in made.stderr:
        pytest.skip("no package registry can be reached from here")
    raise AssertionError(made.stderr)


@pytest.mark.slow
def test_an_environment_of_the_lock_alone_serves_it_within_its_limits(
    light, folder, expected, tmp_path
):
    assert subprocess.run(
        [light, "-c", "import torch"], check=False, capture_output=True
    ).returncode
    assert size(light.parents[1]) < 1e9
    (tmp_path / ".unseen").mkdir()
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    words = ("serve", str(folder), "--port", str(port), "--engine", "onnxruntime")
    with (
        contextlib.chdir(tmp_path),
        started("-m", "flows.cli", *words, log=log, python=str(light)) as process,
    ):
        wait_for(lambda: answers(process, f"{url}/health", log))
        with httpx.Client(base_url=url, timeout=60) as session:  # it imports without bytecode
            assert_the_same(told(session.get, session.post), expected)
            for _ in range(50):
                assert session.post("/predict", files=clip(FRAMES)).status_code == 200
        assert psutil.Process(process.pid).memory_info().rss < 500e6


def size(folder):
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink())
