"""Explain: what ``retrain`` would compute and what it would reuse, and why, without running it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.results import ResultStore, get_default_result_storage

from flows import recipes
from models.errors import InvalidInputError
from tasks.data import versions
from tasks.data.validate import validate
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.sample import sample
from tasks.records import DataVersion, Validation
from tasks.registry import caching
from tasks.registry.caching import Plan
from tasks.training.champion_encoder import inherit
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain


def explain(
    recipe: str, data: Path | None = None, *, keep_encoder: bool = False, **overrides: Any
) -> tuple[Plan, ...]:
    """What each step of ``retrain`` would do with the data as they lie in ``data/``.

    Args:
        recipe: As ``retrain`` takes it.
        data: Must be None: what a folder is as a data version shows when it is brought in.
        keep_encoder: Fit on the champion's encoder.
        overrides: Of the recipe's training.

    Raises:
        InvalidInputError: If ``data`` is given.
        NotFoundError: If the recipe or its data set is not there.
    """
    if data is not None:
        raise InvalidInputError(
            "--explain looks at the data as they lie in data/, not at a folder: bring it in first "
            f"('unseen ingest {data} --as NAME'), and leave out --data."
        )
    chosen = recipes.load(recipe, **overrides)
    return tuple(_plans(chosen, _present(chosen.dataset), keep_encoder=keep_encoder))


def _plans(chosen: recipes.Recipe, version: DataVersion, *, keep_encoder: bool) -> Iterator[Plan]:
    store = ResultStore(result_storage=get_default_result_storage(_sync=True))
    name = chosen.name

    def plan(step: Task[Any, Any], *args: Any) -> Plan:
        return caching.plan(step, store, name, *args)

    yield plan(validate, version, chosen.expectations, name)
    described = recipes.describe(chosen)
    if keep_encoder:
        encoder = inherit.fn(name, described)
        yield Plan(step="pretrain", record=encoder, why="")
    else:
        encoder = plan(pretrain, version, chosen.encoder, chosen.pretext, chosen.training, name)
        yield encoder
        encoder = encoder.record
    if encoder is None:
        yield from (_after(step, "pretrain") for step in ("fit", "evaluate", "sample"))
        return
    validation = Validation(run_id="", data_digest=version.digest, suite=name, num_expectations=0)
    rest = (chosen.detector, chosen.training, described, name)
    fitted = plan(fit, version, validation, encoder, *rest)
    yield fitted
    if fitted.record is None:
        yield from (_after(step, "fit") for step in ("evaluate", "sample"))
        return
    yield plan(evaluate, version, fitted.record)
    yield plan(sample, version, fitted.record)


def _after(step: str, earlier: str) -> Plan:
    return Plan(step=step, record=None, why=f"It follows from {earlier}, which is computed.")


def _present(name: str) -> DataVersion:
    """The version that the files in ``data/`` would be, as far as a key asks for it."""
    folder = versions.folder() / name
    if not folder.is_dir():
        return versions.current(name)
    digest = versions.digest(versions.hash_folder(folder))
    known = DataVersion(
        name=name, digest="", dvc_md5="", git_commit="", remote=None, num_files=0, num_bytes=0
    )
    return replace(known, digest=digest)
