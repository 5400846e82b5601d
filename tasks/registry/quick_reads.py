"""Quick reads: what ``models``, ``history`` and ``trace`` ask of a local store, without MLflow.

MLflow takes seconds to be imported and to open a store. Its SQLite file answers the same questions
at once. It is only read, and only if its schema is the one that this file was written for; for
anything else, and for every other method, there is MLflow's own client.
"""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from tasks.platform import addresses, workspace
from tasks.registry import mlflow_store, store_place

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SCHEMA = "dc11669786a5"
"""Revision of MLflow's database, of MLflow 3.17."""
BUSY_SECONDS = 30.0
"""How long somebody else may be writing."""
VERSIONS = "model_versions WHERE name = ? AND current_stage != 'Deleted_Internal'"
"""Of a registered model, but for those that were deleted."""
Rows = Iterator[sqlite3.Row]


class QuickReads:
    """Answers as ``MlflowClient`` does, with records that have the same attributes.

    Args:
        path: A file of SQLite.
        client: Makes MLflow's own client.
    """

    def __init__(self, path: Path, client: Any) -> None:
        self._path, self._client = path, client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client(), name)

    @staticmethod
    def fits(path: Path) -> bool:
        """Whether there is such a file, with the schema that is known here."""
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
                found = database.execute("SELECT version_num FROM alembic_version").fetchall()
                return found == [(SCHEMA,)]
        except sqlite3.Error:
            return False

    def search_registered_models(self, **_: Any) -> list[SimpleNamespace]:
        """All registered models, by name."""
        return [self._model(row["name"]) for row in self._rows("registered_models ORDER BY name")]

    def get_registered_model(self, name: str) -> Any:
        """A registered model, with its tags and aliases."""
        if not list(self._rows("registered_models WHERE name = ?", name)):
            return self._client().get_registered_model(name)  # which says what is wrong
        return self._model(name)

    def search_model_versions(self, wanted: str) -> list[SimpleNamespace]:
        """Versions of ``name='...'`` that were not deleted, the newest first."""
        name = wanted.removeprefix("name='").removesuffix("'")
        rows = self._rows(f"{VERSIONS} ORDER BY last_updated_time DESC, version DESC", name)
        return [self._version(row) for row in rows]

    def get_model_version(self, name: str, number: str) -> Any:
        """A version of a registered model."""
        for row in self._rows(f"{VERSIONS} AND version = ?", name, number):
            return self._version(row)
        return self._client().get_model_version(name, number)

    def get_run(self, run_id: str) -> Any:
        """A run, with its tags and last metrics."""
        for row in self._rows("runs WHERE run_uuid = ?", run_id):
            return self._run(row)
        return self._client().get_run(run_id)

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        """An experiment; None if there is none."""
        for row in self._rows("experiments WHERE name = ?", name):
            return SimpleNamespace(experiment_id=str(row["experiment_id"]), name=name)
        return None

    def tagged_runs(
        self, experiment_id: str, tags: Mapping[str, str], most: int
    ) -> list[SimpleNamespace]:
        """Finished runs of an experiment that have these tags, the newest first."""
        having = (
            "AND EXISTS (SELECT 1 FROM tags "
            "WHERE tags.run_uuid = runs.run_uuid AND key = ? AND value = ?) "
        )
        query = (
            "runs WHERE experiment_id = ? AND status = 'FINISHED' AND lifecycle_stage = 'active' "
            f"{having * len(tags)}ORDER BY start_time DESC LIMIT ?"
        )
        given: Sequence[Any] = [each for pair in tags.items() for each in pair]
        return [self._run(row) for row in self._rows(query, int(experiment_id), *given, most)]

    def _rows(self, query: str, *values: Any) -> Rows:
        where = f"{self._path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS)) as database:
            database.row_factory = sqlite3.Row
            yield from database.execute(f"SELECT * FROM {query}", values).fetchall()  # noqa: S608

    def _pairs(self, query: str, *values: Any) -> dict[str, Any]:
        return {row[0]: row[1] for row in self._rows(query, *values)}

    def _model(self, name: str) -> SimpleNamespace:
        aliases = self._rows("registered_model_aliases WHERE name = ?", name)
        return SimpleNamespace(
            name=name,
            tags=self._pairs("registered_model_tags WHERE name = ?", name),
            aliases={row["alias"]: str(row["version"]) for row in aliases},
        )

    def _version(self, row: sqlite3.Row) -> SimpleNamespace:
        name, number = row["name"], row["version"]
        place = urlsplit(row["storage_location"] or "")
        return SimpleNamespace(
            name=name,
            version=str(number),
            run_id=row["run_id"],
            source=row["source"],
            creation_timestamp=row["creation_time"],
            tags=self._pairs("model_version_tags WHERE name = ? AND version = ?", name, number),
            folder=Path(unquote(place.path)) if place.scheme == "file" else None,
        )

    def _run(self, row: sqlite3.Row) -> SimpleNamespace:
        run_id = row["run_uuid"]
        metrics = {
            each["key"]: math.nan if each["is_nan"] else each["value"]
            for each in self._rows("latest_metrics WHERE run_uuid = ?", run_id)
        }
        data = SimpleNamespace(tags=self._pairs("tags WHERE run_uuid = ?", run_id), metrics=metrics)
        keys = ("status", "lifecycle_stage", "start_time", "end_time", "artifact_uri")
        info = SimpleNamespace(run_id=run_id, **{key: row[key] for key in keys})
        return SimpleNamespace(info=info, data=data)


def reader() -> "MlflowClient":
    """A client that reads; of a local file without waiting for MLflow's import.

    Raises:
        RegistryError: If the store does not answer.
    """
    uri = addresses.tracking_uri()
    path = Path(uri.removeprefix(addresses.SQLITE))
    if not uri.startswith(addresses.SQLITE) or not path.is_absolute() or not QuickReads.fits(path):
        return mlflow_store.client()
    if path == workspace.home() / "mlflow.db":
        store_place.settle(path)
    return cast("MlflowClient", QuickReads(path, mlflow_store.client))


def tagged_runs(
    asked: "MlflowClient", experiment_id: str, tags: Mapping[str, str], most: int
) -> "list[Run]":
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
