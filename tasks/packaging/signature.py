"""Signature: what a packaged detector takes and answers, as MLflow checks and shows it."""

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array


def signature(channels: int) -> ModelSignature:
    """The interface of ``tasks.packaging.mlflow_model``: a row for each input.

    Args:
        channels: Of an input: its window of gray frames, or the channels of an image.
    """
    optional = {
        "cluster": DataType.long,
        "soft_assignment": Array(DataType.double),
        "anomaly_map": Array(Array(DataType.double)),
    }
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, channels, -1, -1))]),
        outputs=Schema(
            [
                ColSpec(DataType.double, "image_score"),
                ColSpec(DataType.double, "p_value"),
                ColSpec(DataType.boolean, "anomalous"),
                *(ColSpec(kind, name, required=False) for name, kind in optional.items()),
            ]
        ),
        params=ParamSchema([ParamSpec("anomaly_map", DataType.boolean, default=False)]),
    )
