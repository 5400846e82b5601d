"""The MLflow store: runs with what is needed to trace them, and the client of the registry."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

from models.errors import RegistryError
from tasks.platform import workspace
from tasks.platform.locks import Lock
from tasks.registry import lazy_mlflow
from tasks.registry.quick_reads import QuickReads
from tasks.registry.tags import TAG

if TYPE_CHECKING:
    from mlflow import ActiveRun, MlflowClient
    from mlflow.entities import Run

LIBRARIES = ("lightning-fabric", "numpy", "pillow", "scikit-learn", "scipy", "torchvision")
"""Distributions besides torch and OpenCV that compute."""
ARTIFACTS = "MLFLOW_DEFAULT_ARTIFACT_ROOT"
"""MLflow's own variable: where artifacts go if the store is a database server."""
SQLITE = "sqlite:"


def client() -> MlflowClient:
    """Client of the configured store, whose database exists and is up to date.

    Raises:
        RegistryError: If the store does not answer.
    """
    uri = os.environ.setdefault(
        "MLFLOW_TRACKING_URI", f"sqlite:///{workspace.home() / 'mlflow.db'}"
    )
    if lazy_mlflow.get_tracking_uri() != uri:
        lazy_mlflow.set_tracking_uri(uri)
    return _opened(uri)


@functools.cache
def _opened(uri: str) -> MlflowClient:
    """Client of a store, asked once in a process whether it is there."""
    found: MlflowClient = lazy_mlflow.MlflowClient(uri)
    try:
        with _lock(uri):  # two processes must not create the tables
            found.search_experiments(max_results=1)
    except lazy_mlflow.exceptions.MlflowException as error:
        raise RegistryError(
            f"MLflow must answer at {shown(uri)}, got: {error.message.splitlines()[0]}. Start the "
            "server, or correct MLFLOW_TRACKING_URI."
        ) from error
    return found


def reader() -> MlflowClient:
    """A client that reads; of a local file without waiting for MLflow's import.

    Raises:
        RegistryError: If the store does not answer.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{workspace.home() / 'mlflow.db'}")
    path = Path(uri.removeprefix(f"{SQLITE}///"))
    if uri.startswith(SQLITE) and path.is_absolute() and QuickReads.fits(path):
        return cast("MlflowClient", QuickReads(path, client))
    return client()


def tagged_runs(
    asked: MlflowClient, experiment_id: str, tags: Mapping[str, str], most: int
) -> list[Run]:
    """Finished runs of an experiment that have these tags, the newest first.

    Args:
        asked: Client of the store.
        experiment_id: Of the experiment.
        tags: By their whole names.
        most: How many at most.
    """
    if isinstance(asked, QuickReads):
        return cast("list[Run]", asked.tagged_runs(experiment_id, tags, most))
    wanted = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    return list(
        asked.search_runs(
            [experiment_id],
            " and ".join([*wanted, "attributes.status = 'FINISHED'"]),
            max_results=most,
            order_by=["attributes.start_time DESC"],
        )
    )


def shown(uri: str) -> str:
    """An address as it may be printed: without user and password."""
    address = urlsplit(uri)
    return address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()


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
    if root := os.environ.get(ARTIFACTS):
        return root
    raise RegistryError(
        f"Artifacts need a place that all who use the store at {shown(uri)} can reach. Set "
        f"{ARTIFACTS} to it, such as s3://bucket/path."
    )


def experiment(name: str) -> str:
    """Id of the experiment ``name``, made on first use."""
    store = client()
    uri = os.environ["MLFLOW_TRACKING_URI"]
    with _lock(uri):
        found = store.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        root = artifact_root(uri)
        location = f"{root.rstrip('/')}/{quote(name)}" if root else None
        return str(store.create_experiment(name, artifact_location=location))


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


def flow_run_id() -> str:
    """Id of the Prefect flow run that called, or empty outside a flow."""
    from prefect.runtime import flow_run

    return str(flow_run.id or "")


@contextmanager
def run(
    kind: str, experiment_name: str, *, tags: Mapping[str, str], params: Mapping[str, str]
) -> Iterator[ActiveRun]:
    """Open one MLflow run that can be traced; it ends FINISHED, or FAILED on an exception.

    Args:
        kind: Verb of the task: ``validate``, ``pretrain`` or ``fit``. Becomes the run's name.
        experiment_name: The recipe's name; one experiment for each registered model.
        tags: More tags, without the prefix ``unseen.``.
        params: Parameters, as ``flatten`` makes them.
    """
    identity = {
        "kind": kind,
        "git_commit": workspace.git_commit(),
        "code_version": workspace.code_version(),
        "flow_run_id": flow_run_id(),
        **hardware(),
        **tags,
    }
    experiment_id = experiment(experiment_name)
    with lazy_mlflow.start_run(experiment_id=experiment_id, run_name=kind) as active:
        lazy_mlflow.set_tags({TAG + key: value for key, value in identity.items()})
        lazy_mlflow.log_params(dict(params))
        yield active
