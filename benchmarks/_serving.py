"""A model that serves: two versions of it in a store of their own, and servers to ask.

The detector is that of the recipe ``digits``, without pretext training: it computes exactly as much
when it serves, and is there in a minute.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from benchmarks._product import Product, product
from tasks.data.sources.digits import NORMAL, STEP
from tasks.packaging.preprocessing import resize

NAME, SIDE = "benchmarked", 64
"""Registered model, and side of its images."""
STILLS, STILLS_SIDE = "stills", 256
"""The same of ``padim`` on a pretrained trunk, in colour."""
START_SECONDS = 240.0
RECIPE = f"""
import dataclasses
from flows.recipes import Recipe, digits
from models.encoders.pretrained import PretrainedTrunk
from models.one_class.padim import PaDiM
from tasks.records import Training
from tasks.registry.policy import PromotionPolicy

def benchmarked() -> Recipe:
    policy = PromotionPolicy(metric="image_auroc", margin=1.0)
    return dataclasses.replace(digits(), name="{NAME}", pretext=None, promotion=policy)

def stills() -> Recipe:
    return dataclasses.replace(
        benchmarked(),
        name="{STILLS}",
        training=Training(image_size=({STILLS_SIDE}, {STILLS_SIDE}), channels=3),
        encoder=PretrainedTrunk.Config(),
        detector=PaDiM.Config(),
    )
"""
PROMOTE = f"""
import sys
from tasks.platform import workspace
workspace.configure()
from tasks.registry import mlflow_store, model_versions
client = mlflow_store.client()
print("ready", flush=True)
for version in sys.stdin:
    client.set_registered_model_alias("{NAME}", model_versions.CHAMPION, version.strip())
    print("done", flush=True)
"""
"""Moves the alias as often as it is told to, without starting Python each time."""


EMPTY = """
import mlflow

class Empty(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input

mlflow.models.set_model(Empty())
"""
LOG_EMPTY = """
import mlflow
mlflow.pyfunc.log_model(name="empty", python_model="empty.py", registered_model_name="empty")
"""
LOAD = f"""
import sys, time
import mlflow, numpy
began = time.perf_counter()
model = mlflow.pyfunc.load_model(sys.argv[1])
model.predict(numpy.zeros((1, 1, {SIDE}, {SIDE}), numpy.uint8))
print(time.perf_counter() - began)
"""
"""Tells how long MLflow takes to load a model and to make its first prediction."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server in a process of its own."""

    process: psutil.Process
    address: tuple[str, int]
    start_s: float = 0.0
    """From the start of its process to its first answer."""

    def is_alive(self) -> bool:
        """Whether it still answers."""
        host, port = self.address
        try:
            return httpx.get(f"http://{host}:{port}/health", timeout=30).status_code < 500
        except httpx.HTTPError:
            return False

    def version(self) -> int:
        """Which version it serves."""
        host, port = self.address
        return int(httpx.get(f"http://{host}:{port}/health", timeout=60).json()["version"])

    def processor_seconds(self) -> float:
        """That it and its children have computed."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(sum(each.cpu_times()[:2]) for each in family)

    def memory_mb(self) -> float:
        """Resident memory of it and its children."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(each.memory_info().rss for each in family) / 2**20


def image(seed: int = 0) -> NDArray[np.uint8]:
    """Gray levels of a handwritten zero, the kind that the model knows as normal; uint8."""
    digits = load_digits()
    zeros = digits.images[digits.target == NORMAL]
    pixels = (zeros[seed % len(zeros)] * STEP).astype(np.uint8)
    resized: NDArray[np.uint8] = resize(pixels[None], (SIDE, SIDE))[0]
    return resized


def clip_of_png(num: int = 1) -> tuple[bytes, ...]:
    """Files of an honest request."""
    found = []
    for seed in range(num):
        file = BytesIO()
        Image.fromarray(image(seed)).save(file, "PNG")
        found.append(file.getvalue())
    return tuple(found)


def photograph() -> bytes:
    """A part of a photograph as ``stills`` takes it, a PNG file of about 150 KB."""
    pixels = load_sample_image("china.jpg")[100 : 100 + STILLS_SIDE, 200 : 200 + STILLS_SIDE]
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@contextmanager
def trained(*, stills: bool = False) -> Iterator[Product]:
    """A clone with two versions of the model, of which the second serves.

    Args:
        stills: Train the model ``STILLS`` as well.
    """
    with product() as clone:
        recipe = clone.folder / "benchmarked.py"
        recipe.write_text(RECIPE)
        servers = clone.environment
        clone.environment = {**servers, "OMP_NUM_THREADS": "1"}  # small images gain nothing by more
        for seed in ("0", "1"):
            clone.unseen("retrain", "--recipe", f"{recipe}:{NAME}", "--seed", seed)
        if stills:
            clone.unseen("retrain", "--recipe", f"{recipe}:{STILLS}")
        clone.environment = servers
        yield clone


@contextmanager
def ours(clone: Product, name: str = NAME, *options: str) -> Iterator[Server]:
    """``unseen serve`` of a model of the clone."""
    port = free_port()
    command = ["-m", "flows.cli", "serve", name, "--port", str(port), *options]
    began = time.perf_counter()
    with started(clone, command, port, "/health") as process:
        took = time.perf_counter() - began
        yield Server(process=process, address=("127.0.0.1", port), start_s=took)


@contextmanager
def mlflows(clone: Product, engine: str = "auto") -> Iterator[Server]:
    """``mlflow models serve`` of the same version, as it is by default.

    Args:
        clone: Has the model.
        engine: What scores; ``torch`` is the model as it was before there were programs.
    """
    port = free_port()
    model = f"models:/{NAME}@champion"
    command = ["-m", "mlflow", "models", "serve", "-m", model, "--port", str(port)]
    command += ["--env-manager", "local"]
    with started(clone, command, port, "/ping", UNSEEN_ENGINE=engine) as process:
        yield Server(process=process, address=("127.0.0.1", port))


def loading(clone: Product, tries: int) -> tuple[float, float]:
    """Seconds until the first prediction of the model that MLflow loads, and of an empty one."""
    (clone.folder / "empty.py").write_text(EMPTY)
    environment = clone.environment
    clone.environment = {**environment, "MLFLOW_TRACKING_URI": clone.store}
    try:
        clone.python("-c", LOG_EMPTY)
        took: dict[str, list[float]] = {f"models:/{NAME}@champion": [], "models:/empty/1": []}
        for _ in range(tries):
            for model, seconds in took.items():
                seconds.append(float(clone.python("-c", LOAD, model).output.split()[-1]))
    finally:
        clone.environment = environment
    ours, empty = (statistics.median(each) for each in took.values())
    return ours, empty


@contextmanager
def started(
    clone: Product, command: list[str], port: int, path: str, **more: str
) -> Iterator[psutil.Process]:
    """A Python process that answers at a path, and is gone afterwards with all its children.

    Args:
        clone: In whose folder it runs.
        command: After ``python``.
        port: Where it answers.
        path: With 200, once it is ready.
        more: Variables of its environment.
    """
    log = clone.folder / f"server-{port}.log"
    own = str(Path(sys.executable).parent)
    environment = {
        **clone.environment,
        **more,
        "MLFLOW_TRACKING_URI": clone.store,
        "PATH": f"{own}{os.pathsep}{os.environ['PATH']}",
    }
    with log.open("wb") as output:
        process = psutil.Popen(
            [sys.executable, *command],
            cwd=clone.folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{path}", log)
        yield psutil.Process(process.pid)
    finally:
        family = [process, *process.children(recursive=True)] if process.is_running() else []
        for each in family:
            each.terminate()
        _, alive = psutil.wait_procs(family, timeout=30)
        for each in alive:
            each.kill()


def _wait(process: psutil.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The server must answer at {url}:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


@contextmanager
def promoter(clone: Product) -> Iterator[subprocess.Popen[str]]:
    """A process that makes the version champion whose number it is sent in a line."""
    with subprocess.Popen(
        [sys.executable, "-c", PROMOTE],
        cwd=clone.folder,
        env={**clone.environment, "MLFLOW_TRACKING_URI": clone.store},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # it has imported what it needs
        yield process
        process.stdin.close()


@contextmanager
def serving() -> Iterator[Server]:
    """Our server with a model, in one go."""
    with trained() as clone, ours(clone) as server:
        yield server


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def to_mlflow() -> bytes:
    """The same image as ``mlflow models serve`` takes it: JSON of its gray levels."""
    return json.dumps({"inputs": image()[None, None].tolist()}).encode()
