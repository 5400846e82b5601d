"""Overview: the registered detectors, their versions, figures and decisions, for people to look at.

Nothing here imports torch: people wait for it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

from tasks.records import Decision
from tasks.registry import history, model_versions
from tasks.registry.tags import (
    DATA_DIGEST,
    DATA_NAME,
    DRIFT,
    GIT_COMMIT,
    METRIC,
    MODEL_DIGEST,
    RECIPE,
)


@dataclass(frozen=True, kw_only=True)
class LastDrift:
    """What the last look at what a version is shown has found."""

    verdict: str
    """``drift`` or ``no drift``."""
    why: str
    run_id: str
    when: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model."""

    version: int
    created: str
    """UTC, ISO 8601."""
    aliases: tuple[str, ...]
    digest: str
    """SHA-256 over all files of the packaged detector."""
    run_id: str
    """MLflow run that fitted it."""
    data_name: str
    data_digest: str
    git_commit: str
    seed: int | None
    metrics: dict[str, float]
    """Of its evaluation on the test split."""
    drift: LastDrift | None


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A registered model."""

    name: str
    kind: str
    """Class of the detector of the newest version."""
    metric: str
    """What promotions are decided by."""
    champion: int | None
    """The version that serves; None if none does."""
    since: str | None
    """When the champion became champion, as the history has it; UTC, ISO 8601."""
    challenger: int | None
    """The version that was registered last."""
    rollback_to: int | None
    """The version that a rollback would let serve; None if nothing served before."""
    pinned: Decision | None
    """The decision that stopped automatic promotion, if it is stopped."""
    versions: tuple[Version, ...]
    """The oldest first."""
    decisions: tuple[Decision, ...]
    """The oldest first."""


def detectors(client: MlflowClient) -> list[Detector]:
    """Every registered model, by name."""
    names = sorted(each.name for each in client.search_registered_models())
    return [detector(client, name) for name in names]


def detector(client: MlflowClient, name: str) -> Detector:
    """One registered model.

    Raises:
        NotFoundError: If there is no such model; names what there is.
    """
    history.notice(name, client)
    aliases = model_versions.aliases(client, name)
    decisions = history.read(name, client)
    found = sorted(model_versions.versions(client, name), key=lambda each: int(each.version))
    existing = {int(each.version) for each in found}
    champion = aliases.get(model_versions.CHAMPION)
    champion = champion if champion in existing else None
    recipe = _recipe(found[-1].tags) if found else {}
    return Detector(
        name=name,
        kind=_kind(recipe),
        metric=_metric(recipe, found),
        champion=champion,
        since=_since(decisions, champion),
        challenger=aliases.get(model_versions.CHALLENGER),
        rollback_to=history.served_before(decisions, champion, existing),
        pinned=history.pinned(decisions),
        versions=tuple(_version(each, aliases) for each in found),
        decisions=decisions,
    )


def _version(found: RegisteredVersion, aliases: Mapping[str, int]) -> Version:
    tags, number = found.tags, int(found.version)
    return Version(
        version=number,
        created=moment(found.creation_timestamp),
        aliases=tuple(sorted(alias for alias, held in aliases.items() if held == number)),
        digest=tags.get(MODEL_DIGEST, ""),
        run_id=str(found.run_id or ""),
        data_name=tags.get(DATA_NAME, ""),
        data_digest=tags.get(DATA_DIGEST, ""),
        git_commit=tags.get(GIT_COMMIT, ""),
        seed=_recipe(tags).get("training", {}).get("seed"),
        metrics=_metrics(tags),
        drift=LastDrift(**json.loads(tags[DRIFT])) if DRIFT in tags else None,
    )


def _metrics(tags: Mapping[str, str]) -> dict[str, float]:
    """Figures of the evaluation; JSON has no word for those that are not finite."""
    found = {
        key.removeprefix(METRIC): float(value)
        for key, value in sorted(tags.items())
        if key.startswith(METRIC)
    }
    return {key: value for key, value in found.items() if abs(value) < float("inf")}


def _recipe(tags: Mapping[str, str]) -> dict[str, Any]:
    """The recipe of a version's tag; empty if it was too long for one."""
    try:
        found = json.loads(tags.get(RECIPE, ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _kind(recipe: Mapping[str, Any]) -> str:
    named = str(recipe.get("detector", {}).get("class", ""))
    return named.removesuffix(".Config").rpartition(".")[2]


def _metric(recipe: Mapping[str, Any], found: list[RegisteredVersion]) -> str:
    """The metric of the recipe's promotion; of an unknown recipe, the first that is recorded."""
    named = recipe.get("promotion", {}).get("metric") or recipe.get("metric")
    if named:
        return str(named)
    return next((key for each in reversed(found) for key in _metrics(each.tags)), "")


def _since(decisions: tuple[Decision, ...], champion: int | None) -> str | None:
    """When the present champion took over, as far as the history knows."""
    moves = [each for each in decisions if each.action in history.MOVES]
    held = list(takewhile(lambda each: each.champion == champion, reversed(moves)))
    return held[-1].when if held and champion else None


def moment(milliseconds: int) -> str:
    """A time of MLflow's as UTC, ISO 8601."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
