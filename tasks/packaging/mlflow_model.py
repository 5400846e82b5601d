"""The script that MLflow stores with a model and runs to load it (models from code).

It needs MLflow, NumPy and pandas, and nothing of this repository: the reader of the package and the
sources of the model travel inside the model's artifacts.

Input: uint8 (N, C, H, W), C being the detector's window of gray frames, or the channels of an
image. Output: one row for each input, with its cluster and soft assignment if the
detector knows clusters. Parameter ``anomaly_map``: also a map of H rows for each.
"""

import importlib.util
import os
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class _SourceOnly(SourceFileLoader):
    """Leaves no ``__pycache__`` in the model, whose every byte is verified, and trusts none."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class DetectorModel(PythonModel):  # type: ignore[misc]
    """A packaged detector behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the detector with the reader that it carries."""
        folder = Path(context.artifacts["package"])
        source = folder / "sources" / "tasks" / "packaging" / "import_sources.py"
        loader = _SourceOnly("_unseen_vendored", str(source))
        spec = importlib.util.spec_from_loader(loader.name, loader)
        bootstrap = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(bootstrap)  # type: ignore[union-attr]
        reader = bootstrap.Vendored(folder / "sources").load("tasks.packaging.package")
        engine = os.environ.get("UNSEEN_ENGINE") or "auto"
        self.packaged = reader.load(folder, device="auto", engine=engine)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Score, p-value and decision of each input, and its anomaly map on request."""
        inputs = np.asarray(model_input, dtype=np.uint8)
        wanted = bool((params or {}).get("anomaly_map", False))
        found = self.packaged.score(inputs, map_size=inputs.shape[-2:] if wanted else None)
        columns = {
            "image_score": found.image_score,
            "p_value": found.p_value,
            "anomalous": found.anomalous,
        }
        if found.soft_assignment is not None:
            columns["cluster"] = found.soft_assignment.argmax(axis=1)
            columns["soft_assignment"] = list(found.soft_assignment)
        if wanted:
            columns["anomaly_map"] = list(found.anomaly_map)
        return pd.DataFrame(columns)


mlflow.models.set_model(DetectorModel())
