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
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeAlias, TypeVar

from mlflow.exceptions import MlflowException
from prefect import Task, task
from prefect.context import TaskRunContext
from prefect.results import ResultStore
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

from models.errors import RegistryError
from tasks.platform import step_names
from tasks.registry import key_parts, mlflow_store, version_facts
from tasks.registry.key_parts import Parts

P = ParamSpec("P")
R = TypeVar("R")
Made: TypeAlias = Callable[[Mapping[str, Any]], R]
"""Something made of the arguments of a task."""

log = logging.getLogger(__name__)

FOLDER = "key"
"""Among the artifacts of a run: the parts of the keys of the results that point to it."""
_refreshing: ContextVar[bool] = ContextVar("refreshing", default=False)


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
        more = self.also(arguments) if self.also else {}
        names = self.code(arguments) if self.code else ()
        found = key_parts.parts(self.function, arguments, more, names)
        settings = found["configuration"]
        return {
            **found,
            "configuration": {k: v for k, v in settings.items() if not self._is_apart(k)},
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
    run_name: str,
    *,
    apart_from: Collection[str] = (),
    also: Made[Mapping[str, Any]] | None = None,
    code: Made[Iterable[str]] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a Prefect task of a function whose result, a record of a run, is worth keeping.

    Args:
        run_name: What people see, with names of parameters in braces; see ``step_names``.
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

        made = task(
            task_run_name=step_names.named(run_name),
            cache_key_fn=key,
            persist_result=True,
            result_serializer="json",
        )
        return made(compute)

    return decorate


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


def _keep(name: str, parts: Parts, result: Any) -> None:
    """Write the parts of a key beside the result; that they cannot be kept undoes no training."""
    try:
        mlflow_store.client().log_dict(result.run_id, parts, f"{FOLDER}/{name}.json")
    except (MlflowException, RegistryError, OSError) as error:
        log.warning("What the result of %s depends on could not be kept: %s.", name, error)
