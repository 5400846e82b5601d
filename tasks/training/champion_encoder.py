"""Inherit: go on with the encoder of the present champion, instead of training another."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from prefect import task

from models.errors import InvalidInputError, NotFoundError
from models.former_names import present
from tasks.platform import former_names
from tasks.platform.outages import RETRIED
from tasks.records import TrainedModel
from tasks.registry import mlflow_store, model_versions, version_facts
from tasks.training import encoder_store

SAME = ("encoder", "pretext", "training")
"""Parts of the recipe that the encoder depends on."""


@task(task_run_name="inherit encoder of {model_name}", **RETRIED)
def inherit(model_name: str, recipe: Mapping[str, Any]) -> TrainedModel:
    """Return the run that trained the encoder of the champion.

    A detector on the same encoder can be compared with the champion feature by feature, and one
    whose statistics add up is refitted from what changed in the data. What the encoder itself
    learned from clips that are gone meanwhile stays in it: only pretraining forgets that.

    Args:
        model_name: Registered model.
        recipe: The whole experiment; its encoder, pretext task and training must be the champion's.

    Raises:
        NotFoundError: If there is no champion.
        InvalidInputError: If the recipe would train another encoder.
    """
    client = mlflow_store.client()
    champion = model_versions.resolve(client, model_name, model_versions.CHAMPION)
    lineage = version_facts.gather(client, champion).lineage
    former = present(lineage.get("recipe") or {})
    differing = [key for key in SAME if _differ(former.get(key), recipe.get(key))]
    if differing:
        raise InvalidInputError(
            f"The encoder of {model_name} version {champion.version} can be kept only by the "
            f"recipe that it was trained with, and {', '.join(differing)} differ. Retrain without "
            "--keep-encoder."
        )
    run_id = str(lineage["pretext"]["run_id"])
    return TrainedModel(
        run_id=run_id,
        model_uri=f"runs:/{run_id}/{encoder_store.FOLDER}",
        data_digest=str((lineage["pretext"].get("data") or {}).get("digest", "")),
    )


def _differ(then: Any, now: Any) -> bool:
    """Whether two descriptions mean different things; on what device decides nothing.

    A setting that one of them does not have has its default there: it came later. None is left
    out, because the facts of a version do not keep it.
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        defaults = _defaults(now.get("class"))
        before, after = (
            {**defaults, **{name: value for name, value in each.items() if value is not None}}
            for each in (then, now)
        )
        names = {key for key in before.keys() | after.keys() if key not in {"class", "device"}}
        return any(_differ(before.get(name), after.get(name)) for name in names) or (
            former_names.present(str(then.get("class"))) != str(now.get("class"))
        )
    if isinstance(then, list | tuple) and isinstance(now, list | tuple):
        pairs = zip(then, now, strict=False)
        return len(then) != len(now) or any(_differ(one, other) for one, other in pairs)
    return bool(then != now)


def _defaults(name: str | None) -> dict[str, Any]:
    try:
        kind = former_names.find(str(name))
    except NotFoundError:  # of a user's own, which is not loaded here
        return {}
    every = fields(kind) if is_dataclass(kind) else ()
    return {each.name: each.default for each in every if each.default is not MISSING}
