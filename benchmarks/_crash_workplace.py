"""A repository in which ``unseen`` commands run, are killed, and are run again.

Most commands run in a process forked from this one, which has imported the libraries and done
nothing else: it is a process of its own, in a session of its own, and ends as any other. So a kill
costs a second or two and not fifteen. Some run by ``python -m flows.cli.main``, with a cold start.
"""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._crash_points import kill

ROOT = Path(__file__).parents[1]
RECIPE = f"{ROOT / 'tests' / 'flows' / 'tiny.py'}:tiny_knn"
MODEL = "tiny_knn"
STARTED = ("flows",)
"""What of the project runs in processes of its own; its sources count with a result's."""
PRELOADED = (
    "flows.cli.main",
    "flows.retrain",
    "flows.cli.run_flow",
    "flows.cli.tables",
    "flows.cli.decisions",
    "tasks.registry.decisions",
    "tasks.data.run_suite",
    "dvc.repo",
    "dvc.repo.add",
    "dvc.stage.serialize",
    "dvc_data.hashfile.build",
    "dvc_data.hashfile.transfer",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.pyfunc",
    "matplotlib.pyplot",
    "great_expectations",
    "sqlalchemy",
    "httpx",
)
QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}
LIMIT = 300.0
"""Seconds that a command may take before it counts as hung."""


@dataclass(frozen=True, kw_only=True)
class End:
    """How a command ended."""

    killed: bool
    code: int
    """Exit code; of a killed one, minus the signal."""
    output: str


class Workplace:
    """A repository with data to bring in, and a Prefect server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.top = folder / "repository"
        self.temporary = folder / "t"
        self.log = folder / "output.txt"
        for name in [key for key in os.environ if key.startswith(("MLFLOW_", "PREFECT_"))]:
            del os.environ[name]
        os.environ.update(QUIET)
        if not self.top.is_dir():
            code = f"from benchmarks import _crash_workplace as w; w.make({str(self.top)!r})"
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        self.temporary.mkdir(exist_ok=True)
        tempfile.tempdir = os.environ["TMPDIR"] = str(self.temporary)
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def prepare(self) -> None:
        """Start the Prefect server and import all that commands need."""
        os.environ["PREFECT_API_URL"] = self.start_server()
        os.environ["PREFECT_HOME"] = str(self.top / ".unseen" / "prefect")
        os.chdir(self.top)
        for name in PRELOADED:
            importlib.import_module(name)

    def run(self, *arguments: str, prepared: Callable[[], None] | None = None) -> End:
        """Run an ``unseen`` command in a forked process; ``prepared`` is called in it first."""
        return self.end(self.begin(*arguments, prepared=prepared))

    def begin(self, *arguments: str, prepared: Callable[[], None] | None = None) -> int:
        """Start an ``unseen`` command in a forked process; its id, for ``end``."""
        process = os.fork()
        if process == 0:
            _become(self.log, arguments, prepared)
        return process

    def call(self, function: Callable[[], object]) -> End:
        """Call a function in a forked process."""
        process = os.fork()
        if process == 0:
            _become(self.log, function, None)
        return self.end(process)

    def cold(self, *arguments: str, kill_after: float | None = None, server: bool = False) -> End:
        """Run an ``unseen`` command from nothing, with the server of the repository.

        Args:
            arguments: Of ``unseen``.
            kill_after: Seconds after which its process group is killed; None lets it end.
            server: Kill the Prefect server together with it.
        """
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *arguments],
                cwd=self.top,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            code = process.wait(kill_after or LIMIT)
        except subprocess.TimeoutExpired:
            if server:
                self.kill_server()
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        return End(killed=code == -signal.SIGKILL, code=code, output=self.log.read_text())

    def kill_server(self) -> None:
        """Kill the Prefect server of the repository and its supervisor, if there is one."""
        import psutil

        from tasks.platform import prefect_server

        if server := prefect_server.local_server():
            supervisor = psutil.Process(server.pid)
            below = supervisor.children(recursive=True)
            for process in (supervisor, *below):  # it would start the server again
                process.kill()

    def start_server(self, port: int = 0) -> str:
        """Start the Prefect server of the repository; its URL."""
        code = (
            f"from tasks.platform import prefect_server as o; url = o.connect({port}); "
            "o.wait_until_healthy(url); print(url)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.top,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()[-1]

    def move(self, source: Path, target: Path) -> None:
        """Move the repository to another folder, as a person would: stopped, moved, gone on."""
        self.stop()
        source.rename(target)
        self.top = target
        os.chdir(target)
        os.environ["PREFECT_HOME"] = str(target / ".unseen" / "prefect")
        os.environ["PREFECT_API_URL"] = self.start_server()
        context = importlib.import_module("prefect.context")
        context.refresh_global_settings_context()  # forks would keep the former address and folder

    def stop(self) -> None:
        """End the Prefect server."""
        os.environ.pop("PREFECT_API_URL", None)
        self.cold("down")

    def end(self, process: int) -> End:
        """Wait for a forked process."""
        deadline = time.monotonic() + LIMIT
        while True:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                output = self.log.read_text(errors="replace")
                return End(killed=code == -signal.SIGKILL, code=code, output=output)
            if time.monotonic() > deadline:
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                raise RuntimeError(f"A command hung:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.02)


def after(seconds: float) -> Callable[[], None]:
    """Something to prepare: a kill from a thread of its own after a time."""
    import threading

    def prepared() -> None:
        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()

    return prepared


def changed(source: Path, target: Path, seed: int) -> Path:
    """A copy of a data set in which some files differ, as the seed says."""
    import cv2

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    chance = np.random.default_rng(seed)
    for path in sorted((target / "train" / "good").glob("*.png"))[:3]:
        noise = chance.integers(-3, 4, (64, 64))
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        cv2.imwrite(str(path), np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8))
    return target


def make(folder: str) -> None:
    """Make a repository with data to bring in; it imports Prefect, which should wait."""
    tests, tiny = (importlib.import_module(name) for name in ("tests.conftest", "tests.flows.tiny"))
    top = Path(folder)
    partial = tests.make_repository(top.with_name("partial"))
    tiny.write(partial / "incoming", num_train=12, num_test=3)
    partial.rename(top)


def _become(
    log: Path,
    work: Sequence[str] | Callable[[], object],
    prepared: Callable[[], None] | None,
) -> None:
    """Turn a fork into the process of one command; never returns."""
    import atexit
    import threading

    os.setsid()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 0
    try:
        if prepared:
            prepared()
        if callable(work):
            work()
        else:
            from flows.cli.main import main

            sys.argv = ["unseen", *work]
            main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    vars(threading)["_shutdown"]()  # a process that ends by itself waits for its threads
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
