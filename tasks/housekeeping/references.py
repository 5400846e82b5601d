"""What registered versions refer to: runs, flow runs, models and bytes that must stay.

Whatever looks like an id in the tags of a registered model or version, or in the lineage that a
model carries, counts as a reference: rather one too many than one too few.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

from tasks.lineage.trace import files_of
from tasks.registry import version_facts
from tasks.registry.tags import MODEL_DIGEST, MOMENTS_BASIS, TAG
from tasks.training import moments_store

ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?:m-)?[0-9a-f]{32}(?:\.dir)?")
"""Ids of MLflow's runs and models, Prefect's flow runs, and md5s of DVC."""
PAGE = 1000


@dataclass
class References:
    """Who needs what."""

    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Ids of runs, models and flow runs, and who refers to each."""
    md5s: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Objects of DVC, lists of files included, and who refers to each."""
    digests: dict[str, str] = field(default_factory=dict)
    """Digests of registered models, and whose they are."""
    notes: list[str] = field(default_factory=list)

    def add(self, value: Any, who: str) -> None:
        """Note every id in a text, or in anything that can be written as one."""
        text = value if isinstance(value, str) else json.dumps(value)
        for found in ID.findall(text):
            (self.md5s if found.endswith(".dir") else self.ids)[found].add(who)

    def add_files(self, files: list[dict[str, str]] | None, who: str) -> None:
        """Note the files of a data version."""
        for file in files or ():
            self.md5s[file["md5"]].add(who)


def gather(client: MlflowClient) -> References:
    """All that the registry refers to, directly or through runs that it refers to."""
    found = References()
    for model in pages(client.search_registered_models):
        found.add(dict(model.tags), model.name)
        for version in pages(client.search_model_versions, f"name='{model.name}'"):
            _add_version(found, client, version)
    waiting, seen = list(found.ids), set(found.ids)
    while waiting:
        reference = waiting.pop()
        run = version_facts.get_run(client, reference)
        if run is not None:
            for who in list(found.ids[reference]):
                _add_run(found, client, run, who)
            waiting += found.ids.keys() - seen
            seen |= found.ids.keys()
    return found


def _add_version(found: References, client: MlflowClient, version: RegisteredVersion) -> None:
    who = f"{version.name} {version.version}"
    found.add({**version.tags, "": [version.source, version.run_id]}, who)
    found.digests[version.tags.get(MODEL_DIGEST, "")] = who
    lineage = version_facts.read_json(version, "lineage.json")
    if lineage is None:
        found.notes.append(f"The files of {who} are lost; kept is what its tags refer to.")
        lineage = version_facts.gather(client, version).lineage
    found.add(lineage, who)
    found.add_files(version_facts.read_json(version, "files.json"), who)
    for part in (lineage, lineage.get("pretext") or {}, lineage.get("source") or {}):
        found.add_files(_files(part.get("data") or {}), who)


def _files(data: Mapping[str, Any]) -> list[dict[str, str]] | None:
    return files_of(data) if data.get("digest") else None


def _add_run(found: References, client: MlflowClient, run: Run, who: str) -> None:
    """What a run refers to: other runs, and those that hold moments it was made of."""
    found.add({k: v for k, v in run.data.tags.items() if k.startswith(TAG)}, who)
    if MOMENTS_BASIS not in run.data.tags:
        return
    path = version_facts.run_artifact(client, run.info.run_id, f"{moments_store.FOLDER}/clips.json")
    with suppress(ValueError):  # damaged moments need no other run, and neither do lost ones
        clips = json.loads(path.read_text())["clips"] if path else {}
        found.add([part["held_by"] for part in clips.values()], who)


def pages(search: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
    """All results of one of MLflow's searches, page by page."""
    token = None
    while True:
        page = search(*arguments, max_results=PAGE, page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return
