"""The other way round: from a file to every registered detector that saw it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import InvalidInputError
from tasks.data import dvc_cache
from tasks.lineage.trace import files_of
from tasks.lineage.trace_records import Sighting, Sightings
from tasks.registry import history, model_versions, quick_reads, version_facts
from tasks.registry.tags import DATA_DIGEST, PRETEXT_DATA_DIGEST, SOURCE_DATA_DIGEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

PARTS = {
    "detector": DATA_DIGEST,
    "pretext": PRETEXT_DATA_DIGEST,
    "source": SOURCE_DATA_DIGEST,
}
"""Parts of a model's lineage that have data, and the tag that names them."""


def trace_file(path: Path) -> Sightings:
    """Which registered model versions, and which champions, used a file.

    Args:
        path: Any file; its name and place do not matter, its bytes do.

    Raises:
        InvalidInputError: If it cannot be read.
        RegistryError: If the registry does not answer.
    """
    try:
        md5 = dvc_cache.file_md5(path)
    except OSError as error:
        raise InvalidInputError(
            f"The file to look for must be readable, got {path}: {error.strerror}."
        ) from error
    client = quick_reads.reader()
    reigns = [
        Reign.of(client, each.name) for each in client.search_registered_models(max_results=1000)
    ]
    uses = [use for reign in reigns for version in reign.versions for use in _uses(version)]
    paths = _search(uses, md5)
    found = (each for reign in reigns for each in _sightings(reign, paths))
    return Sightings(
        path=str(path),
        md5=md5,
        found=tuple(sorted(found, key=lambda each: (each.model, each.version, each.relpath))),
        searched=sum(len(reign.versions) for reign in reigns),
        unknown=tuple(sorted({use.digest for use in uses} - paths.keys())),
    )


@dataclass(frozen=True)
class Reign:
    """The versions of a registered model, who of them serves, and who did."""

    versions: tuple[RegisteredVersion, ...]
    aliases: dict[str, int]
    served: frozenset[int | None]

    @staticmethod
    def of(client: MlflowClient, name: str) -> "Reign":
        """All versions of a model, its champion, and its former ones."""
        aliases = model_versions.aliases(client, name)
        served = {aliases.get(model_versions.CHAMPION)}
        for decision in history.read(name, client):
            served |= {decision.champion, decision.former}
        return Reign(tuple(model_versions.versions(client, name)), aliases, frozenset(served))


@dataclass(frozen=True)
class Use:
    """A data version that a model version was made from."""

    version: RegisteredVersion
    digest: str
    through: tuple[str, ...]


def _uses(version: RegisteredVersion) -> list[Use]:
    through: dict[str, tuple[str, ...]] = {}
    for part, tag in PARTS.items():
        digest = version.tags.get(tag, "")
        through[digest] = (*through.get(digest, ()), part)
    return [Use(version, digest, parts) for digest, parts in through.items() if digest]


def _search(uses: Sequence[Use], md5: str) -> dict[str, tuple[str, ...]]:
    """What the file is called in each data version whose list of files is to be had.

    Each is read once, however many models share it.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for use in sorted(uses, key=lambda use: "detector" not in use.through):
        if use.digest not in paths and (files := _files(use)) is not None:
            paths[use.digest] = tuple(file["relpath"] for file in files if file["md5"] == md5)
    return paths


def _files(use: Use) -> list[dict[str, str]] | None:
    """Files of a data version: those that the model carries, else those that DVC still lists."""
    carried: list[dict[str, str]] | None = version_facts.read_json(use.version, "files.json")
    if carried is not None and "detector" in use.through:
        return carried
    lineage = version_facts.read_json(use.version, "lineage.json") or {}
    known = lineage if "detector" in use.through else lineage.get(use.through[0])
    return files_of((known or {}).get("data") or {})


def _sightings(reign: Reign, paths: dict[str, tuple[str, ...]]) -> Iterator[Sighting]:
    for version in reign.versions:
        number = int(version.version)
        held = sorted(alias for alias, holder in reign.aliases.items() if holder == number)
        for use in _uses(version):
            for relpath in paths.get(use.digest, ()):
                yield Sighting(
                    model=version.name,
                    version=number,
                    aliases=tuple(held),
                    serves=model_versions.CHAMPION in held,
                    served=number in reign.served,
                    relpath=relpath,
                    role=relpath.split("/")[0],
                    through=use.through,
                    data_digest=use.digest,
                )
