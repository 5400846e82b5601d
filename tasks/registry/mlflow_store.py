"""The MLflow store: runs with what is needed to trace them, and the client of the registry."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from models.errors import RegistryError
from tasks.platform import addresses, flow_run, settings, workspace
from tasks.platform.certificates import trusted
from tasks.platform.locks import Lock
from tasks.platform.step_names import SHORT
from tasks.registry import lazy_mlflow, parent_run, store_place
from tasks.registry.tags import TAG

if TYPE_CHECKING:
    from mlflow import ActiveRun, MlflowClient

LIBRARIES = ("lightning-fabric", "numpy", "pillow", "scikit-learn", "scipy", "torchvision")
"""Distributions besides torch and OpenCV that compute."""
ARTIFACTS = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
"""MLflow's own variable: where artifacts go if the store is a database server."""
SQLITE = "sqlite:"
ANSWER_SECONDS = 4.0
"""How long a tracking server may take to be reached, and to say that it is well."""
READY = "mlflow.ready"
"""Names the database whose tables are there, and the MLflow that made them."""
_ready: set[str] = set()
SAMPLE_SECONDS = 5
"""Between two looks at the machine's load during a run."""
SHOWN_AS = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's pages show such an experiment as one of training, and not of prompts and traces."""


for _noisy in ("mlflow.system_metrics", "mlflow.pyfunc"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)  # INFO tells people nothing they asked for


def client() -> MlflowClient:
    """Client of the configured store, whose database exists and is up to date.

    Raises:
        RegistryError: If the store does not answer.
    """
    uri = os.environ[addresses.TRACKING] = addresses.tracking_uri()
    if lazy_mlflow.get_tracking_uri() != uri:
        lazy_mlflow.set_tracking_uri(uri)
    path = Path(uri.removeprefix(addresses.SQLITE))
    local = uri.startswith(addresses.SQLITE) and path.exists()
    return _opened(uri, path.stat().st_ino if local else 0)


@functools.cache
def _opened(uri: str, file: int) -> MlflowClient:  # noqa: ARG001 - another file is another store
    """Client of a store, which is asked once in a process whether it is there."""
    check_answers(uri)
    if uri == f"{addresses.SQLITE}{_own()}" and _own().exists():
        store_place.settle(_own())
    found: MlflowClient = lazy_mlflow.MlflowClient(uri)
    try:
        ready = _is_ready(uri)
        with contextlib.nullcontext() if ready else _lock(uri):  # two must not create the tables
            found.search_experiments(max_results=1)
            if not ready:
                _note_ready(uri)
    except lazy_mlflow.exceptions.MlflowException as error:
        raise _silent(uri, error.message.splitlines()[0]) from error
    return found


def _own() -> Path:
    return workspace.home() / "mlflow.db"


def check_answers(uri: str | None = None) -> None:
    """Ask a tracking server whether it is there; MLflow itself would try for minutes.

    Args:
        uri: Of the store; the configured one if None. Of a database nothing is asked.

    Raises:
        RegistryError: If it does not answer within ``ANSWER_SECONDS``.
    """
    uri = uri or addresses.tracking_uri()
    if not addresses.is_server(uri):
        return
    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS, verify=trusted())
    except httpx.TransportError as error:
        if "CERTIFICATE" not in str(error):  # MLflow has settings of its own for those
            raise _silent(uri, str(error) or type(error).__name__) from error


def _silent(uri: str, said: str) -> RegistryError:
    return RegistryError(
        f"MLflow must answer at {addresses.shown(uri)}, got: {said}. Start the server, or correct "
        f"MLFLOW_TRACKING_URI.{addresses.through(uri)}"
    )


def _is_ready(uri: str) -> bool:
    """Whether the tables are known to be there, so that reading needs no lock."""
    if addresses.is_server(uri) or uri in _ready:
        return True
    if uri != f"{addresses.SQLITE}{_own()}" or not _own().exists():
        return False
    note = workspace.home() / READY
    if note.exists() and note.read_text() == _state():
        return True
    return not os.access(workspace.home(), os.W_OK)  # who may only read creates nothing


def _note_ready(uri: str) -> None:
    if uri == f"{addresses.SQLITE}{_own()}":
        (workspace.home() / READY).write_text(_state())
    else:
        _ready.add(uri)


def _state() -> str:
    return f"{lazy_mlflow.__version__} {_own().stat().st_ino}"


def artifact_root(uri: str) -> str | None:
    """Where the artifacts of a store belong; None if a server decides.

    Args:
        uri: Of the store. A file of SQLite keeps them beside it, below ``.unseen``.

    Raises:
        RegistryError: If it is a database server and nobody says where.
    """
    if uri.startswith(SQLITE):
        return (workspace.home() / "artifacts").as_uri()
    if uri.startswith(("http://", "https://")):
        return None
    if root := settings.read().mlflow_default_artifact_root:
        return root
    raise RegistryError(
        f"Artifacts need a place that all who use the store at {addresses.shown(uri)} can reach. "
        f"Set {ARTIFACTS} to it, such as s3://bucket/path."
    )


def experiment(name: str) -> str:
    """Id of the experiment ``name``, made on first use."""
    store = client()
    uri = settings.read().mlflow_tracking_uri
    with _lock(uri):
        found = store.get_experiment_by_name(name)
        if found:
            for key in SHOWN_AS.keys() - found.tags.keys():
                store.set_experiment_tag(found.experiment_id, key, SHOWN_AS[key])
            return str(found.experiment_id)
        root = artifact_root(uri)
        location = f"{root.rstrip('/')}/{quote(name)}" if root else None
        made = store.create_experiment(name, artifact_location=location, tags=SHOWN_AS)
        return str(made)


def _lock(uri: str) -> contextlib.AbstractContextManager[object]:
    """Held while tables or an experiment are made; a server sees to that itself."""
    remote = uri.startswith(("http://", "https://"))
    return contextlib.nullcontext() if remote else Lock("mlflow")


def hardware() -> dict[str, str]:
    """What the last bits of a result may depend on, as tags: machine, threads, and libraries."""
    import cv2
    import torch  # here, because `unseen trace` must not wait for it

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "hardware.machine": platform.machine(),
        "hardware.instructions": torch.backends.cpu.get_cpu_capability(),
        "hardware.cores": str(os.cpu_count()),
        "hardware.threads": str(torch.get_num_threads()),
        "hardware.gpu": gpu,
        "version.python": platform.python_version(),
        "version.torch": torch.__version__,
        "version.opencv": cv2.__version__,
        "version.mlflow": lazy_mlflow.__version__,
        **{f"version.{name}": installed(name) for name in LIBRARIES},
    }


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """A nested dataclass or mapping as MLflow parameters: ``detector.shrinkage -> 0.01``."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if not isinstance(value, Mapping):
        return {prefix: str(value)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


@contextmanager
def run(
    kind: str, experiment_name: str, *, tags: Mapping[str, str], params: Mapping[str, str]
) -> Iterator[ActiveRun]:
    """Open one MLflow run that can be traced; it ends FINISHED, or FAILED on an exception.

    Args:
        kind: Verb of the task: ``validate``, ``pretrain`` or ``fit``. Begins the run's name.
        experiment_name: The recipe's name; one experiment for each registered model.
        tags: More tags, without the prefix ``unseen.``.
        params: Parameters, as ``flatten`` makes them.
    """
    identity = {
        "kind": kind,
        "git_commit": workspace.git_commit(),
        "code_version": workspace.code_version(),
        "flow_run_id": flow_run.current(),
        **hardware(),
        **tags,
    }
    os.environ.setdefault("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", str(SAMPLE_SECONDS))
    experiment_id = experiment(experiment_name)
    about = " ".join([experiment_name, tags.get("data_digest", "")[:SHORT]]).strip()
    with lazy_mlflow.start_run(
        experiment_id=experiment_id,
        run_name=_name(kind),
        parent_run_id=parent_run.of_flow(client(), experiment_id, about),
        log_system_metrics=True,
    ) as active:
        lazy_mlflow.set_tags({TAG + key: value for key, value in identity.items()})
        lazy_mlflow.log_params(dict(params))
        yield active


def _name(kind: str) -> str:
    """What Prefect calls the step, so that both show the same; the bare kind outside of a flow."""
    from prefect.runtime import task_run

    name = str(task_run.name or "")
    return name if name.startswith(kind) else kind
