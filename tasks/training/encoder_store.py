"""The encoder between its pretext run and the detectors that are fitted on it."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from safetensors.torch import load_file, save_file

from models.contracts import Encoder
from models.errors import NotFoundError, RegistryError
from tasks.packaging import config_json, tensors
from tasks.platform import former_names
from tasks.records import DataVersion, TrainedModel

FOLDER = "encoder"
"""Where the encoder is among the artifacts of its run."""


def log(
    encoder: Encoder, version: DataVersion, backbone: str, trained_on: Iterable[str] = ()
) -> None:
    """Log an encoder with the active run, as weights and JSON, and where its training data is.

    Args:
        encoder: With its hyper-parameters in the attribute ``config``.
        version: What it was trained on.
        backbone: ``pretext``, ``imagenet`` or ``untrained``.
        trained_on: Identities of the clips that it was trained on.
    """
    described = {
        "encoder": config_json.to_json(encoder.config),
        "backbone": backbone,
        "data": asdict(version),
        "trained_on": sorted(trained_on),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_file(tensors.plain(encoder.state_dict()), folder / "weights.safetensors")
        (folder / "encoder.json").write_text(json.dumps(described, indent=1))
        mlflow.log_artifacts(temporary, FOLDER)


def load(trained: TrainedModel) -> tuple[Encoder, Mapping[str, Any]]:
    """The encoder of a pretext run, and that run as it enters a detector's lineage.

    Raises:
        NotFoundError: If there is no such run, or it logged no encoder.
        RegistryError: If what it logged does not fit the present code.
    """
    folder, described = _read(trained)
    try:
        encoder = config_json.from_json(described["encoder"], former_names.module).build()
        encoder.load_state_dict(load_file(folder / "weights.safetensors"))
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        raise RegistryError(
            f"The encoder {trained.model_uri} must fit the present code, and does not: {error}. "
            "Run the pretext task again."
        ) from error
    pretext = {key: described[key] for key in ("backbone", "data")}
    return encoder, {"run_id": trained.run_id, **pretext}


def trained_on(trained: TrainedModel) -> frozenset[str]:
    """Identities of the clips that the encoder of a pretext run was trained on.

    Raises:
        NotFoundError: If there is no such run, or it logged no encoder.
    """
    return frozenset(_read(trained)[1].get("trained_on", ()))


def _read(trained: TrainedModel) -> tuple[Path, dict[str, Any]]:
    try:
        folder = Path(mlflow.artifacts.download_artifacts(trained.model_uri))
        return folder, json.loads((folder / "encoder.json").read_text())
    except (MlflowException, OSError) as error:
        raise NotFoundError(
            f"The encoder {trained.model_uri} must be in the MLflow store, got: {error}. Run the "
            "pretext task again."
        ) from error
