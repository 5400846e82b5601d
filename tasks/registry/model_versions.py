"""Registered models: find a version by number or alias, and its packaged detector.

This file imports neither torch nor Prefect; ``load`` does when it is called.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from models.errors import InvalidInputError, NotFoundError, RegistryError
from tasks.platform import former_names, workspace
from tasks.registry import lazy_mlflow
from tasks.registry.tags import DATA_DIGEST, MODEL_DIGEST, RECIPE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion
    from mlflow.entities.model_registry import RegisteredModel

    from models.contracts import Detector
    from tasks.packaging.detector import Packaged
    from tasks.packaging.preprocessing import Preprocessing

CHAMPION = "champion"
"""Alias of the version that serves."""
CHALLENGER = "challenger"
"""Alias of the version that was registered last."""
FORMER_CHAMPION = "former-champion"
"""Alias of the version that served before the champion."""
SCHEME = "models:/"
"""Begins the address of an MLflow model."""
PACKAGE = "package"
"""Name of the packaged detector among the artifacts of its MLflow model."""


UNDECIDED = ("promotion", "expectations", "device")
"""Parts of a recipe that do not decide what is learned."""


def is_gone(error: Exception) -> bool:
    """Whether MLflow says that something does not exist; any other failure says nothing of that."""
    return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"


def artifact_is_gone(error: Exception) -> bool:
    """Whether an artifact store says that it does not have a file: on disk, by HTTP, or on S3."""
    missing = isinstance(error, FileNotFoundError | NotADirectoryError) or is_gone(error)
    return missing or bool(re.search(r"\b404\b|NoSuchKey", str(error)))


def unanswered(error: Exception) -> NoReturn:
    """Stop, because the registry failed: what it did not say is not known.

    Raises:
        RegistryError: Always.
    """
    told = str(error).strip().splitlines()
    raise RegistryError(
        f"The registry must answer, got: {told[0] if told else type(error).__name__} Nothing was "
        "changed. Start or mend MLflow's store, and say it again."
    ) from error


def model(client: MlflowClient, name: str) -> RegisteredModel:
    """The registered model ``name``, with its aliases and tags.

    Raises:
        NotFoundError: If there is none.
        RegistryError: If the registry does not answer.
    """
    try:
        return client.get_registered_model(name)
    except lazy_mlflow.exceptions.MlflowException as error:
        if not is_gone(error):
            unanswered(error)
        known = ", ".join(each.name for each in client.search_registered_models()) or "none yet"
        raise NotFoundError(
            f"There is no registered model {name!r}. Registered: {known}. Train one with "
            f"'unseen retrain --recipe {name}'."
        ) from error


def aliases(client: MlflowClient, name: str) -> dict[str, int]:
    """Version number of each alias of a registered model.

    Raises:
        NotFoundError: If there is no such model.
    """
    return {alias: int(number) for alias, number in model(client, name).aliases.items()}


def champion(client: MlflowClient, name: str) -> int | None:
    """The version that serves; None if none does, also if the alias names one that was deleted.

    Raises:
        NotFoundError: If there is no such model.
        RegistryError: If the registry does not answer.
    """
    number = aliases(client, name).get(CHAMPION)
    return number if number and version(client, name, number) else None


def version(client: MlflowClient, name: str, number: int) -> RegisteredVersion | None:
    """A version by its number; None if it does not exist, or not any more.

    Raises:
        RegistryError: If the registry does not answer.
    """
    try:
        return client.get_model_version(name, str(number))
    except lazy_mlflow.exceptions.MlflowException as error:
        if not is_gone(error):
            unanswered(error)
        return None


def resolve(client: MlflowClient, name: str, wanted: str | int) -> RegisteredVersion:
    """The version of a registered model that has a number or an alias.

    Raises:
        NotFoundError: If there is no such model, version or alias; names what there is.
        RegistryError: If the registry does not answer.
    """
    known = aliases(client, name)
    number = known.get(str(wanted)) or (int(wanted) if str(wanted).isdecimal() else 0)
    found = version(client, name, number) if number else None
    if found:
        return found
    numbers = {int(each.version) for each in versions(client, name)}
    told = (
        f"{alias} -> {held}{'' if held in numbers else ', which was deleted'}"
        for alias, held in known.items()
    )
    raise NotFoundError(
        f"{name} has no version or alias {str(wanted)!r}. Versions: "
        f"{', '.join(map(str, sorted(numbers))) or 'none'}. Aliases: {', '.join(told) or 'none'}. "
        f"'unseen history {name}' shows what became of the others."
    )


def made_of(version: RegisteredVersion) -> str:
    """Digest of the data and the recipe of a version: equal where the same is trained again.

    Terms of promotion, expectations and the device do not count.
    """
    text = version.tags.get(RECIPE, "")
    with suppress(ValueError):  # it was cut, as it was too long for a tag
        text = json.dumps(_learned(json.loads(text)), sort_keys=True)
    data = version.tags.get(DATA_DIGEST, "")
    return hashlib.sha256(f"{data} {text}".encode()).hexdigest()[:16] if data else ""


def _learned(recipe: Any) -> Any:
    if not isinstance(recipe, Mapping):
        return recipe
    return {key: _learned(each) for key, each in recipe.items() if key not in UNDECIDED}


def find(client: MlflowClient, reference: str) -> RegisteredVersion:
    """The model version that a reference means, the champion if it names none.

    Raises:
        InvalidInputError: If the reference has no name.
        NotFoundError: If there is no such version; names what there is.
    """
    name, _, wanted = reference.replace(":", "@").partition("@")
    if not name:
        raise InvalidInputError(
            f"A reference must be NAME, NAME@ALIAS or NAME@VERSION, got {reference!r}."
        )
    return resolve(client, name, wanted or CHAMPION)


def versions(client: MlflowClient, name: str) -> list[RegisteredVersion]:
    """All versions of a registered model, as far as they were not deleted.

    Raises:
        RegistryError: If the registry does not answer.
    """
    try:
        return list(client.search_model_versions(f"name='{name}'"))
    except lazy_mlflow.exceptions.MlflowException as error:
        unanswered(error)


def folder(source: str) -> Path:
    """Readable copy of the packaged detector in an MLflow model; the original if it is local.

    A model never changes once it was logged, so that it is fetched from another machine once.

    Args:
        source: ``models:/m-...``, as a run logged it and a version records it; or a local folder
            with its files.

    Raises:
        RegistryError: If the artifact store does not have it.
    """
    try:
        return _model(source) / "artifacts" / PACKAGE
    except (lazy_mlflow.exceptions.MlflowException, OSError) as error:
        raise RegistryError(
            f"The files of the model {source} must be in MLflow's artifact store, got: {error}. "
            "Restore the artifact store, or take another version."
        ) from error


def load(version: RegisteredVersion, *, device: str = "cpu", engine: str = "torch") -> "Packaged":
    """The packaged detector of a version, verified to be the one that was registered.

    Args:
        version: The version.
        device: Where it computes, as in ``tasks.packaging.package.load``.
        engine: What scores on a processor, as there.

    Raises:
        InvalidInputError: If the engine cannot run it.
        RegistryError: If it is lost, changed, or cannot be run here.
    """
    from tasks.packaging import package

    place = getattr(version, "folder", None)  # known to ``quick_reads``
    where = place / "artifacts" / PACKAGE if place else None
    if where is None or not where.is_dir():
        where = folder(version.source)
    packaged = package.load(where, device=device, engine=engine)
    recorded = version.tags.get(MODEL_DIGEST)
    if recorded != packaged.digest:
        raise RegistryError(
            f"{version.name} version {version.version} must be the model that was registered, "
            f"whose digest is {recorded}, got {packaged.digest}. Take another version."
        )
    return packaged


def rebuild(source: str) -> "tuple[Detector, Preprocessing]":
    """A logged detector in the classes of the present code, so that it can be trained further.

    Raises:
        RegistryError: If it is lost, was changed, or does not fit this code.
    """
    from tasks.packaging import package

    return package.rebuild(folder(source), former_names.module)


def _model(source: str) -> Path:
    """Folder of an MLflow model: the original, or a copy that appears complete or not at all."""
    if not source.startswith(SCHEME):
        return Path(lazy_mlflow.artifacts.download_artifacts(source))
    model_id = source.removeprefix(SCHEME)
    place = lazy_mlflow.MlflowClient().get_logged_model(model_id).artifact_location
    if urlsplit(place).scheme in {"", "file"}:
        return Path(lazy_mlflow.artifacts.download_artifacts(source))
    copy = workspace.home() / "downloads" / model_id
    if not copy.is_dir():
        copy.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=copy.parent) as partial:
            fetched = lazy_mlflow.artifacts.download_artifacts(source, dst_path=partial)
            try:
                Path(fetched).rename(copy)
            except OSError:
                if not copy.is_dir():  # else somebody was quicker
                    raise
    return copy
