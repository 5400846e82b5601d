"""Trace: from a deployed detector back to the bytes it was trained on, and back again from a file.

The walk survives ``mlflow gc``, lost artifacts and the loss of Prefect's database. People wait for
this command: on its way nothing imports torch or Prefect.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from models.errors import DataError, NotFoundError
from tasks.data import dvc_cache, dvc_remote, judged
from tasks.data.judged import Judged
from tasks.data.versions import Entry
from tasks.lineage import reproductions
from tasks.lineage.trace_records import (
    Trace,
    TracedData,
    TracedFlow,
    TracedModel,
    TracedPretext,
    TracedRun,
    TracedSource,
    TracedStatistics,
)
from tasks.platform import prefect_server
from tasks.records import DataVersion, Decision, Validation
from tasks.registry import history, model_versions, quick_reads
from tasks.registry.tags import FLOW_RUN_ID, HARDWARE
from tasks.registry.version_facts import Facts, gather, get_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

PREFECT_SECONDS = 0.3
"""How long a Prefect server may take to say what it knows of the flow run."""


def trace(reference: str) -> Trace:
    """Everything a deployed detector was made from.

    Args:
        reference: ``NAME`` for its champion, ``NAME@ALIAS``, or a version ``NAME@3``, ``NAME:3``.

    Raises:
        NotFoundError: If there is no such model, version or alias.
        RegistryError: If the registry does not answer.
    """
    client = quick_reads.reader()
    version = model_versions.find(client, reference)
    flow = FlowQuery(version.tags.get(FLOW_RUN_ID, ""))
    facts = gather(client, version)
    notes = list(facts.notes)
    history.notice(version.name, client)
    registered = model_versions.model(client, version.name)
    champion = registered.aliases.get(model_versions.CHAMPION)
    data = _data(facts.lineage.get("data", {}), facts.files, notes)
    run_id = str(facts.lineage.get("run_id", version.run_id))
    return Trace(
        reference=reference,
        model=_model(version, registered.aliases, facts.model_digest),
        run=_run(run_id, facts.run, notes),
        recipe=facts.lineage.get("recipe", {}),
        seed=facts.lineage.get("seed"),
        git_commit=str(facts.lineage.get("git_commit", "")),
        code_version=str(facts.lineage.get("code_version", "")),
        data=data,
        validation=_validation(facts),
        pretext=_pretext(client, facts, data, notes),
        source=_source(client, facts, notes),
        statistics=_statistics(facts.lineage.get("statistics") or {}),
        judged=_judged(facts.files or (), notes),
        reproductions=reproductions.find(client, version.name, facts.model_digest),
        metrics=facts.metrics,
        decisions=_decisions(client, version, int(champion) if champion else None),
        flow=flow.answer(),
        notes=tuple(notes),
    )


def _model(
    version: RegisteredVersion, aliases: Mapping[str, str], model_digest: str
) -> TracedModel:
    number = int(version.version)
    champion = aliases.get(model_versions.CHAMPION)
    return TracedModel(
        name=version.name,
        version=number,
        aliases=tuple(sorted(alias for alias, held in aliases.items() if int(held) == number)),
        champion=int(champion) if champion else None,
        digest=model_digest,
        created=_time(version.creation_timestamp),
        source=version.source,
    )


def _run(run_id: str, run: Run | None, notes: list[str]) -> TracedRun:
    if run is None:
        notes.append(f"Run {run_id} was deleted: known from the tags and the model's own files.")
        return TracedRun(run_id=run_id, found=False)
    info, prefix = run.info, HARDWARE
    deleted = ", deleted" if info.lifecycle_stage == "deleted" else ""
    return TracedRun(
        run_id=run_id,
        found=True,
        status=f"{info.status}{deleted}",
        started=_time(info.start_time),
        seconds=(info.end_time - info.start_time) / 1000 if info.end_time else None,
        user=str(run.data.tags.get("mlflow.user", "")),
        hardware={
            key.removeprefix(prefix): value
            for key, value in sorted(run.data.tags.items())
            if key.startswith(prefix)
        },
    )


def _data(
    known: Mapping[str, Any], files: list[dict[str, str]] | None, notes: list[str]
) -> TracedData:
    """A data version, and how much of it DVC's cache and today's remote hold."""
    version = data_version(known)
    try:
        remote = dvc_remote.url()
        missing = dvc_cache.missing(file["md5"] for file in files or ())
    except (NotFoundError, DataError):
        remote, missing = None, tuple(file["md5"] for file in files or ())
        notes.append("There is no DVC repository here to look for the data in.")
    if files is None:
        notes.append(f"The list of files of data version {version.digest} is lost.")
        return TracedData(version=version, remote=remote)
    held = dvc_remote.count(missing) if missing and remote else None
    if missing and held != len(missing):
        notes.append(
            f"{len(missing) - (held or 0)} files of {version.name} {version.digest} are "
            f"lost here. {dvc_cache.ADVICE}"
        )
    return TracedData(
        version=version,
        available=len(files) - len(missing),
        missing=len(missing),
        remote=remote,
        in_remote=held,
    )


def data_version(known: Mapping[str, Any]) -> DataVersion:
    """A data version as far as it is known; empty and 0 stand for what is not."""
    return DataVersion(
        name=str(known.get("name") or ""),
        digest=str(known.get("digest") or ""),
        dvc_md5=str(known.get("dvc_md5") or ""),
        git_commit=str(known.get("git_commit") or ""),
        remote=known.get("remote"),
        num_files=int(known.get("num_files") or 0),
        num_bytes=int(known.get("num_bytes") or 0),
        origin=str(known.get("origin") or ""),
    )


def _validation(facts: Facts) -> Validation | None:
    known = facts.lineage.get("validation") or {}
    if not known.get("run_id"):
        return None
    filled = {"data_digest": "", "suite": "", "num_expectations": 0, **known}
    return Validation(**{**filled, "failed": tuple(known.get("failed", ()))})


def _pretext(
    client: MlflowClient, facts: Facts, data: TracedData, notes: list[str]
) -> TracedPretext | None:
    """The run that trained the encoder, and its data, which may be another data set."""
    known = facts.lineage.get("pretext") or {}
    if not known.get("run_id"):
        return None
    run = _run(str(known["run_id"]), get_run(client, known["run_id"]), notes)
    backbone, other = str(known.get("backbone") or ""), known.get("data") or {}
    if other.get("digest") == data.version.digest:
        return TracedPretext(run=run, backbone=backbone, data=data)
    found = _data(other, files_of(other), notes) if other.get("digest") else None
    return TracedPretext(run=run, backbone=backbone, data=found)


def _source(client: MlflowClient, facts: Facts, notes: list[str]) -> TracedSource | None:
    """The model version that it was adapted from; that one has a trace of its own."""
    known = facts.lineage.get("source") or {}
    if not known.get("name"):
        return None
    run_id, data = str(known.get("run_id") or ""), known.get("data") or {}
    return TracedSource(
        name=str(known["name"]),
        version=int(known["version"]),
        digest=str(known.get("digest") or ""),
        run=_run(run_id, get_run(client, run_id), notes),
        data=_data(data, files_of(data), notes) if data.get("digest") else None,
    )


def _judged(files: Iterable[Mapping[str, str]], notes: list[str]) -> tuple[Judged, ...]:
    """The judged predictions whose pictures are in the data of these files."""
    try:
        return judged.of(Entry(each["relpath"], each["md5"]) for each in files)
    except (DataError, NotFoundError) as error:
        notes.append(f"Which judged predictions are in the data is not known: {error}")
        return ()


def _statistics(known: Mapping[str, Any]) -> TracedStatistics | None:
    if not known.get("digest"):
        return None
    parent = known.get("parent") or {}
    return TracedStatistics(
        digest=str(known["digest"]),
        num_clips=int(known.get("num_clips") or 0),
        parent_run_id=str(parent.get("run_id") or ""),
        parent_digest=str(parent.get("digest") or ""),
        parent_data_digest=str(parent.get("data") or ""),
        added=tuple(known.get("added") or ()),
        removed=tuple(known.get("removed") or ()),
        updates=int(known.get("updates") or 0),
        why=str(known.get("why") or ""),
    )


def files_of(known: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """Files of a data version that no model carries, by DVC; None if their list is lost."""
    from tasks.data import versions

    try:
        found = versions.entries(data_version(known))
    except (DataError, NotFoundError):
        return None
    return [{"relpath": entry.relpath, "md5": entry.md5} for entry in found]


def _decisions(
    client: MlflowClient, version: RegisteredVersion, champion: int | None
) -> tuple[Decision, ...]:
    """What was decided about this version and about the champion, oldest first."""
    concerned = {int(version.version), champion} - {None}
    return tuple(
        decision
        for decision in history.read(version.name, client)
        if concerned & {decision.version, decision.champion, decision.former}
    )


class FlowQuery:
    """Asks the Prefect server for a flow run while the trace does other things."""

    def __init__(self, flow_run_id: str) -> None:
        self.flow_run_id = flow_run_id
        self._found: TracedFlow | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        if flow_run_id:
            self._thread.start()

    def answer(self, seconds: float = PREFECT_SECONDS) -> TracedFlow | None:
        """The flow run: all about it if the server was quick, else its id alone."""
        if not self.flow_run_id:
            return None
        self._thread.join(seconds)
        return self._found or TracedFlow(flow_run_id=self.flow_run_id)

    def _ask(self) -> None:
        api = prefect_server.running()
        if api is None:
            return
        try:
            path = f"/flow_runs/{self.flow_run_id}"
            known = prefect_server.call(api, "GET", path, seconds=10 * PREFECT_SECONDS)
        except (httpx.HTTPError, ValueError):
            return
        self._found = TracedFlow(
            flow_run_id=self.flow_run_id,
            url=f"{api.removesuffix('/api')}/runs/flow-run/{self.flow_run_id}",
            name=str(known.get("name", "")),
            state=str(known.get("state_name", "")),
        )


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
