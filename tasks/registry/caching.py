"""What lets an unchanged step be reused, and a killed run resume: keys of Prefect's own cache.

A key is made of the task, its arguments and the code version. Records that name a data version
count by its digest alone, so that ingesting another set makes nobody's cache stale, and so does the
validation of a version. A remembered result is trusted only while the MLflow run behind it exists.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from prefect.context import TaskRunContext
from prefect.results import ResultStore

from tasks.platform import workspace
from tasks.records import DataVersion, Validation


def canonical(value: Any) -> Any:
    """``value`` as plain JSON data in which equal experiments are equal."""
    if isinstance(value, DataVersion):
        return {"name": value.name, "digest": value.digest}
    if isinstance(value, Validation):
        return {"validated": value.data_digest}
    if is_dataclass(value) and not isinstance(value, type):
        fields = {key: canonical(getattr(value, key)) for key in asdict(value)}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {str(key): canonical(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def base_key(task_name: str, arguments: Mapping[str, Any]) -> str:
    """The key of a task with these arguments under the present code and MLflow store."""
    identity = {
        "task": task_name,
        "arguments": canonical(arguments),
        "code": workspace.code_version(),
        "store": os.environ.get("MLFLOW_TRACKING_URI", ""),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{task_name}-{digest[:32]}"


def is_alive(record: Any) -> bool:
    """Whether the MLflow run that a remembered record points to is there and finished."""
    from mlflow.exceptions import MlflowException

    from tasks.registry import mlflow_store

    try:
        info = mlflow_store.client().get_run(record.run_id).info
    except MlflowException:
        return False
    return bool(info.lifecycle_stage == "active" and info.status == "FINISHED")


def cache_key(context: TaskRunContext, arguments: dict[str, Any]) -> str:
    """Cache key function of the tasks whose record names an MLflow run.

    Keys carry a generation: when the run behind a remembered record is gone (``mlflow gc``, a lost
    database), the next generation is computed and remembered instead.
    """
    base = base_key(context.task.name, arguments)
    store: ResultStore = context.result_store
    generation = 0
    while store.exists(f"{base}-{generation}"):
        remembered = store.read(f"{base}-{generation}").result
        if is_alive(remembered):
            break
        generation += 1
    return f"{base}-{generation}"


REMEMBERED: dict[str, Any] = {
    "cache_key_fn": cache_key,
    "persist_result": True,
    "result_serializer": "json",
}
"""Options of a ``@task`` whose result is worth keeping between runs."""
