"""What lets an unchanged step be reused, and a killed run resume: keys of Prefect's own cache.

A key is made of four parts: the digest of the step's data, its own configuration, the code that
computes it, and the libraries that change numbers. The parts are kept with the MLflow run of the
result, so that it can be told which of them changed. A remembered result is trusted only while its
run exists; where the store does not say, nothing is computed and nothing is reused.
"""

import functools
import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, ParamSpec, TypeAlias, TypeVar

from mlflow.exceptions import MlflowException
from prefect import Task, task
from prefect.context import TaskRunContext
from prefect.results import ResultStore
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

from models.errors import RegistryError
from tasks.platform import former_names, source_digests
from tasks.records import DataVersion, Source, TrainedModel, Validation
from tasks.registry import mlflow_store, version_facts
from tasks.registry.tags import KIND

P = ParamSpec("P")
R = TypeVar("R")
Parts = dict[str, dict[str, str]]
"""``data``, ``configuration``, ``code`` and ``library``, each by name."""
Made: TypeAlias = Callable[[Mapping[str, Any]], R]
"""Something made of the arguments of a task."""

log = logging.getLogger(__name__)

LIBRARIES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "timm": ("timm",),
    "numpy": ("numpy",),
    "OpenCV": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
    "scikit-learn": ("scikit-learn",),
}
"""Libraries that change numbers, and the distributions that bring them."""
FOLDER = "key"
"""Among the artifacts of a run: the parts of the keys of the results that point to it."""
_refreshing: ContextVar[bool] = ContextVar("refreshing", default=False)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference between a step and the last result of it."""

    part: str
    """``data``, ``configuration``, ``code`` or ``library``."""
    name: str
    before: str
    now: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a step would do."""

    step: str
    record: Any
    """The result that would be reused; None if it would be computed."""
    why: str
    """Why it would be computed; empty if it would not."""
    changes: tuple[Change, ...] = ()
    """What differs from the last result."""


@contextmanager
def refreshed(*, wanted: bool) -> Iterator[None]:
    """Compute all steps again in the block, if that is wanted, and remember the new results."""
    token = _refreshing.set(wanted)
    try:
        with temporary_settings({PREFECT_TASKS_REFRESH_CACHE: wanted}):
            yield
    finally:
        _refreshing.reset(token)


def is_refreshing() -> bool:
    """Whether nothing that was computed before may be used."""
    return _refreshing.get()


class Key:
    """Cache key function of one task, whose result names an MLflow run.

    Keys carry a generation: when the run behind a remembered result is gone (``mlflow gc``, a lost
    database), or the result is damaged, the next generation is computed and remembered instead.

    Args:
        function: Of the task.
        apart_from: Arguments, and fields of arguments, that do not decide its result.
        also: More that decides it, made of the arguments.
        code: Names of more classes that compute it, made of the arguments.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        apart_from: Collection[str] = (),
        also: Made[Mapping[str, Any]] | None = None,
        code: Made[Iterable[str]] | None = None,
    ) -> None:
        self.function, self.apart_from, self.also, self.code = function, apart_from, also, code
        self.name = function.__name__
        self.failed: dict[Any, Exception] = {}
        self.computing: dict[Any, Parts] = {}

    def __call__(self, context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
        """The key; None, and the task fails, if the store does not say what it has."""
        place = context.task_run.id
        try:
            parts = self.parts(arguments)
            key, _ = self.find(parts, context.result_store)
        except Exception as error:
            self.failed[place] = error
            return None
        self.computing[place] = parts
        return key

    def bound(self, *args: Any) -> Mapping[str, Any]:
        """Arguments by name."""
        return inspect.signature(self.function).bind(*args).arguments

    def parts(self, arguments: Mapping[str, Any]) -> Parts:
        """All that decides the result."""
        data: dict[str, str] = {}
        settings: dict[str, str] = {}
        for name, value in arguments.items():
            known = _data(value)
            if known is None:
                settings |= flat(value, name)
            else:
                data[name] = known
        if self.also:
            settings |= flat(self.also(arguments))
        kinds: set[Any] = {kind for value in arguments.values() for kind in _kinds(value)}
        if self.code:
            kinds |= set(self.code(arguments))
        return {
            "data": data,
            "configuration": {k: v for k, v in settings.items() if not self._is_apart(k)},
            "code": source_digests.digests(self.function, *kinds),
            "library": libraries(),
        }

    def find(self, parts: Parts, store: ResultStore) -> tuple[str, Any]:
        """Key of the result, and the remembered one; None if it must be computed.

        Raises:
            RegistryError: If the store does not answer.
        """
        text = json.dumps([self.name, parts], sort_keys=True)
        base = f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        generation = 0
        while store.exists(f"{base}-{generation}"):  # not if it was written halfway
            remembered = store.read(f"{base}-{generation}").result
            if is_alive(remembered):
                return f"{base}-{generation}", remembered
            generation += 1
        return f"{base}-{generation}", None

    def check(self) -> Parts | None:
        """Parts of the key of the present task run; None outside of one.

        Raises:
            Exception: What kept its key from being made.
        """
        context = TaskRunContext.get()
        place = context.task_run.id if context else None
        if error := self.failed.pop(place, None):
            raise error
        return self.computing.pop(place, None)

    def _is_apart(self, name: str) -> bool:
        return any(name == each or name.startswith(f"{each}.") for each in self.apart_from)


def remembered(
    *,
    apart_from: Collection[str] = (),
    also: Made[Mapping[str, Any]] | None = None,
    code: Made[Iterable[str]] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a Prefect task of a function whose result, a record of a run, is worth keeping.

    Args:
        apart_from: Arguments, and fields of arguments such as ``training.smoothing``, that do not
            decide the result.
        also: More that decides it, made of the arguments.
        code: Names of more classes that compute it, made of the arguments; see ``classes``.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        key = Key(function, apart_from, also, code)

        @functools.wraps(function)
        def compute(*args: P.args, **kwargs: P.kwargs) -> R:
            parts = key.check()
            result = function(*args, **kwargs)
            if parts is not None:
                _keep(key.name, parts, result)
            return result

        made = task(cache_key_fn=key, persist_result=True, result_serializer="json")
        return made(compute)

    return decorate


def classes(recipe: Mapping[str, Any], *parts: str) -> list[str]:
    """Names of the classes of some parts of a recipe that was described."""
    named = (recipe.get(part) or {} for part in parts)
    return [former_names.present(str(each["class"])) for each in named if "class" in each]


def plan(step: Task[Any, Any], store: ResultStore, experiment: str, *args: Any) -> Plan:
    """What a remembered task would do with these arguments; nothing is computed.

    Args:
        step: Made by ``remembered``.
        store: Of Prefect's results.
        experiment: Name of the registered model whose results are compared.
        *args: Of the task.
    """
    key: Any = step.cache_key_fn
    arguments = key.bound(*args)
    parts = key.parts(arguments)
    _, record = key.find(parts, store)
    if record is not None:
        return Plan(step=key.name, record=record, why="")
    before = _last_parts(key.name, experiment, arguments.get("detector"))
    if before is None:
        return Plan(step=key.name, record=None, why="There is no earlier result.")
    changes = tuple(_changes(before, parts))
    why = "" if changes else "The earlier result is lost: its file, or its MLflow run."
    return Plan(step=key.name, record=None, why=why, changes=changes)


def is_alive(record: Any) -> bool:
    """Whether the MLflow run that a remembered record points to is there and finished.

    Raises:
        RegistryError: If the store does not answer.
    """
    run_id = getattr(record, "run_id", None)
    if not isinstance(run_id, str):
        return False  # its file was damaged
    run = version_facts.get_run(mlflow_store.client(), run_id)
    return bool(run and run.info.lifecycle_stage == "active" and run.info.status == "FINISHED")


@functools.cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that change numbers; those that are not installed are absent."""
    found = {}
    for library, distributions in LIBRARIES.items():
        for distribution in distributions:
            with suppress(PackageNotFoundError):
                found[library] = installed(distribution)
    return found


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Plain values in a configuration by their dotted names, with the classes of its parts."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {each.name: getattr(value, each.name) for each in fields(value)}
        value = {"class": f"{type(value).__module__}.{type(value).__qualname__}", **own}
    if isinstance(value, list | tuple) and any(is_dataclass(each) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {prefix: repr(value) if isinstance(value, str) else str(value)}
    found: dict[str, str] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def _data(value: Any) -> str | None:
    """What names the bytes that a record stands for; None for anything else."""
    if isinstance(value, DataVersion):
        return f"{value.name} {value.digest}"
    if isinstance(value, Validation):
        return value.data_digest
    if isinstance(value, TrainedModel):
        return value.run_id
    return value.digest if isinstance(value, Source) else None


def _kinds(value: Any) -> Iterator[type]:
    """Classes of the configurations in a value."""
    if is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        value = [getattr(value, each.name) for each in fields(value)]
    if isinstance(value, list | tuple):
        for each in value:
            yield from _kinds(each)


def _keep(name: str, parts: Parts, result: Any) -> None:
    """Write the parts of a key beside the result; that they cannot be kept undoes no training."""
    try:
        mlflow_store.client().log_dict(result.run_id, parts, f"{FOLDER}/{name}.json")
    except (MlflowException, RegistryError, OSError) as error:
        log.warning("What the result of %s depends on could not be kept: %s.", name, error)


def _last_parts(name: str, experiment: str, detector: TrainedModel | None) -> Parts | None:
    """Parts of the key of the last result of a task; None if there is none."""
    client = mlflow_store.client()
    if isinstance(detector, TrainedModel):
        run_id = detector.run_id
    else:
        known = client.get_experiment_by_name(experiment)
        alike = {KIND: name}
        runs = known and mlflow_store.tagged_runs(client, known.experiment_id, alike, most=1)
        if not runs:
            return None
        run_id = runs[0].info.run_id
    path = version_facts.run_artifact(client, run_id, f"{FOLDER}/{name}.json")
    found: Parts | None = json.loads(path.read_text()) if path else None
    return found


def _changes(before: Parts, now: Parts) -> Iterator[Change]:
    for part, known in now.items():
        then = before.get(part, {})
        for name in sorted(known.keys() | then.keys()):
            if known.get(name) != then.get(name):
                yield Change(
                    part=part, name=name, before=then.get(name, ""), now=known.get(name, "")
                )
