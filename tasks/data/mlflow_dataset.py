"""A data version as an MLflow dataset, so that a run names what it read."""

from dataclasses import asdict
from typing import Any

import mlflow
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import get_registered_sources, register_dataset_source
from mlflow.data.meta_dataset import MetaDataset

from tasks.data import snapshots
from tasks.records import DataVersion


class DvcSource(DatasetSource):  # type: ignore[misc]
    """A data version as the source of an MLflow dataset.

    Attributes:
        version: The exact bytes, as DVC names them.
    """

    def __init__(self, version: DataVersion) -> None:
        self.version = version

    @staticmethod
    def _get_source_type() -> str:
        return "dvc"

    def load(self) -> Any:
        """The data version, open for reading.

        Raises:
            DataError: If DVC has lost its list of files.
        """
        return snapshots.open_version(self.version)

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, DataVersion)

    @classmethod
    def _resolve(cls, raw_source: Any) -> "DvcSource":
        return cls(raw_source)

    def to_dict(self) -> dict[str, Any]:
        """The data version as plain values."""
        return asdict(self.version)

    @classmethod
    def from_dict(cls, source_dict: dict[str, Any]) -> "DvcSource":
        """The source that ``to_dict`` described."""
        return cls(DataVersion(**source_dict))


def dataset(version: DataVersion) -> MetaDataset:
    """A data version as an MLflow dataset; its digest is the version's."""
    if DvcSource not in get_registered_sources():
        register_dataset_source(DvcSource)
    return MetaDataset(DvcSource(version), name=version.name, digest=version.digest)


def log_input(version: DataVersion, context: str) -> None:
    """Make a data version an input of the active run.

    Args:
        version: What was read.
        context: What for: ``training`` or ``evaluation``.
    """
    mlflow.log_input(dataset(version), context=context)
