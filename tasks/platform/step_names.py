"""Names of steps as people read them in Prefect and MLflow: verb, method, and what it is about."""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any

from tasks.records import DataVersion, ModelVersion, Source, TrainedModel

SHORT = 8
"""Digits of a digest that tell data versions apart for people."""


def named(template: str) -> Callable[..., str]:
    """Name of a task run, for ``@task(task_run_name=...)``.

    Args:
        template: With names of the task's parameters in braces, as in ``fit {detector}``.
    """

    def name(parameters: Mapping[str, Any]) -> str:
        return template.format(**{key: words(value) for key, value in parameters.items()})

    return name


def words(value: Any) -> str:
    """An argument of a task in a few words: a version, a method, a run, or the value itself."""
    if isinstance(value, DataVersion):
        return f"{value.name} {value.digest[:SHORT]}"
    if isinstance(value, ModelVersion | Source):
        return f"{value.name} {value.version}"
    if isinstance(value, TrainedModel):
        return f"run {value.run_id[:SHORT]}"
    if value is None:
        return "nothing"
    if is_dataclass(value):
        return type(value).__qualname__.removesuffix(".Config")
    return str(value)
