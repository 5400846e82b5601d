"""Explain: what ``retrain`` would compute and what it would reuse, and why, without running it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.results import ResultStore, get_default_result_storage

from flows import recipes
from flows.recipes import catalog
from flows.recipes.asked import Asked, Options, asked, settled
from models.errors import InvalidInputError
from tasks.data import versions
from tasks.data.validate import validate
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.sample import sample
from tasks.records import DataVersion, TrainedModel, Validation
from tasks.registry import mlflow_store, quick_reads, version_facts
from tasks.registry.caching import FOLDER
from tasks.registry.key_parts import Parts
from tasks.registry.tags import KIND
from tasks.training.champion_encoder import inherit
from tasks.training.choose_detector import choose_detector
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain

ORDER = ("validate", "pretrain", "choose_detector", "fit", "evaluate", "sample")
"""Steps whose results are remembered."""
KINDS = {"choose_detector": "choose"}
"""Kinds of the MLflow runs of steps, where they are called otherwise."""


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


def explain(
    recipe: str | None = None,
    data: Path | None = None,
    *,
    name: str | None = None,
    dataset: str | None = None,
    keep_encoder: bool = False,
    **others: Any,
) -> tuple[Plan, ...]:
    """What each step of ``retrain`` would do with the data as they lie in ``data/``.

    Args:
        recipe: As ``retrain`` takes it, like all that follows.
        data: Must be None: what a folder is as a data version shows when it is brought in.
        name: Of the registered model.
        dataset: Of the data set.
        keep_encoder: Fit on the champion's encoder.
        others: Those that change the recipe; the rest decides nothing that is computed.

    Raises:
        InvalidInputError: If ``data`` is given.
        NotFoundError: If the recipe or its data set is not there.
    """
    if data is not None:
        raise InvalidInputError(
            "--explain looks at the data as they lie in data/, not at a folder: bring it in first "
            f"('unseen ingest {data} --as NAME'), and leave out --data."
        )
    options = {each.name: others[each.name] for each in fields(Options) if each.name in others}
    wanted = asked(recipe, data, name, dataset, Options(**options))
    version = _present(wanted.dataset)
    return tuple(_plans(wanted, version, keep_encoder=keep_encoder))


def _plans(wanted: Asked, version: DataVersion, *, keep_encoder: bool) -> Iterator[Plan]:
    store = ResultStore(result_storage=get_default_result_storage(_sync=True))
    chosen = wanted.complete(version)
    name, training = chosen.name, chosen.training

    def plan(step: Task[Any, Any], *args: Any) -> Plan:
        return _plan(step, store, name, *args)

    yield plan(validate, version, chosen.expectations, name)
    if keep_encoder:
        trunk = Plan(step="pretrain", record=inherit.fn(name, recipes.describe(chosen)), why="")
    else:
        trunk = plan(pretrain, version, chosen.encoder, chosen.pretext, training, name)
    yield trunk
    if trunk.record is None:
        yield from _following("pretrain", auto=wanted.auto)
        return
    if wanted.auto:
        choice = plan(choose_detector, version, trunk.record, catalog.candidates(), training, name)
        yield choice
        if choice.record is None:
            yield from _following("choose_detector")
            return
        chosen = settled(chosen, choice.record, wanted.options)
    validation = Validation(run_id="", data_digest=version.digest, suite=name, num_expectations=0)
    rest = (chosen.detector, chosen.training, recipes.describe(chosen), name)
    fitted = plan(fit, version, validation, trunk.record, *rest)
    yield fitted
    if fitted.record is None:
        yield from _following("fit")
        return
    yield plan(evaluate, version, fitted.record)
    yield plan(sample, version, fitted.record)


def _following(step: str, *, auto: bool = True) -> Iterator[Plan]:
    """The steps after one that is computed, which are therefore computed too."""
    for each in ORDER[ORDER.index(step) + 1 :]:
        if auto or each != "choose_detector":
            why = f"It follows from {step}, which is computed."
            yield Plan(step=each, record=None, why=why)


def _present(name: str) -> DataVersion:
    """The version that the files in ``data/`` are or would be, as far as a key asks for it.

    Raises:
        NotFoundError: If there is no such data set.
    """
    version, folder = versions.current(name), versions.folder() / name
    files = versions.hash_folder(folder) if folder.is_dir() else versions.entries(version)
    return replace(version, digest=versions.digest(files))


def _plan(step: Task[Any, Any], store: ResultStore, experiment: str, *args: Any) -> Plan:
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


def _last_parts(name: str, experiment: str, detector: TrainedModel | None) -> Parts | None:
    """Parts of the key of the last result of a task; None if there is none."""
    client = mlflow_store.client()
    if isinstance(detector, TrainedModel):
        run_id = detector.run_id
    else:
        known = client.get_experiment_by_name(experiment)
        alike = {KIND: KINDS.get(name, name)}
        runs = known and quick_reads.tagged_runs(client, known.experiment_id, alike, most=1)
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
