"""The report of a reproduction: what was compared, in which environments, and what to say of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import torch

from tasks.lineage import compare_models, training_record
from tasks.lineage.compare_models import Compared, Tolerance
from tasks.lineage.reproductions import KIND
from tasks.lineage.training_record import Recorded
from tasks.platform import workspace
from tasks.records import Report
from tasks.registry import mlflow_store

REPORT = "reproduction/report.json"
IRRELEVANT = {"hardware.cores", "version.mlflow"}
"""Parts of an environment that no result depends on."""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A registered version, compared with the same trained again."""

    model: str
    version: int
    digest: str
    """Of the packaged detector that was registered."""
    when: str
    """UTC, ISO 8601."""
    verdict: str
    """``identical``, ``agrees within tolerance`` or ``differs``."""
    tolerance: Tolerance
    tensors: tuple[Compared, ...]
    metrics: tuple[Compared, ...]
    environment_then: dict[str, str]
    """Machine and libraries; what was not recorded is absent."""
    environment_now: dict[str, str]
    code_then: str
    """Digest of the sources of ``models`` and ``tasks``."""
    code_now: str
    changed_models: tuple[str, ...]
    """Files of ``models`` that are not those that the model carries."""
    notes: tuple[str, ...]
    """What else one must know to judge the verdict."""
    run_id: str = ""
    """MLflow run that keeps this report."""


def compare(
    then: Recorded,
    now: Path,
    report: Report,
    tolerance: Tolerance,
    unrecorded: tuple[str, ...] = (),
) -> Reproduction:
    """Compare a registered version with the same trained again.

    Args:
        then: As it was registered.
        now: Folder of the packaged detector that was trained again.
        report: Its evaluation.
        tolerance: What is no difference.
        unrecorded: Settings that the record of the recipe does not have.
    """
    tensors = compare_models.compare_tensors(then.folder, now, tolerance)
    metrics = compare_models.compare_metrics(then.metrics, report.metrics, tolerance)
    environment = mlflow_store.hardware()
    changed = training_record.changed_models(then.folder)
    return Reproduction(
        model=then.name,
        version=then.version,
        digest=then.digest,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=compare_models.worst([*tensors, *metrics]),
        tolerance=tolerance,
        tensors=tensors,
        metrics=metrics,
        environment_then=then.environment,
        environment_now=environment,
        code_then=str(then.lineage["code_version"]),
        code_now=workspace.code_version(),
        changed_models=changed,
        notes=tuple(_notes(then, environment, changed, unrecorded)),
    )


def log(found: Reproduction) -> Reproduction:
    """Keep a report as an MLflow run beside those of the model, where a trace finds it."""
    tags = {
        "model_name": found.model,
        "model_version": str(found.version),
        "model_digest": found.digest,
        "verdict": found.verdict,
        "when": found.when,
    }
    params = mlflow_store.flatten(found.tolerance, "tolerance")
    with mlflow_store.run(KIND, found.model, tags=tags, params=params) as active:
        kept = Reproduction(**{**vars(found), "run_id": active.info.run_id})
        mlflow.log_dict(asdict(kept), REPORT)
    return kept


@contextmanager
def threads_of(environment: Mapping[str, str]) -> Iterator[None]:
    """Compute with as many threads as was recorded, because sums depend on how they are split."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(environment.get("hardware.threads", before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _notes(
    then: Recorded, now: Mapping[str, str], changed: tuple[str, ...], unrecorded: tuple[str, ...]
) -> Iterator[str]:
    relevant = sorted(now.keys() - IRRELEVANT)
    unknown = [key for key in relevant if key not in then.environment]
    differing = [
        f"{key} {then.environment[key]} -> {now[key]}"
        for key in relevant
        if then.environment.get(key, now[key]) != now[key]
    ]
    if differing:
        yield f"Another environment: {', '.join(differing)}."
    if unknown:
        yield f"Not recorded at the time: {', '.join(unknown)}."
    yield from _about_code(then, changed)
    if unrecorded:
        yield f"Settings that came later have their defaults: {', '.join(unrecorded)}."
    parent = (then.lineage.get("statistics") or {}).get("parent")
    if parent:
        yield (
            f"Its statistics were updated from those of run {parent['run_id']}; here all clips "
            "were read, which gives the same up to rounding."
        )


def _about_code(then: Recorded, changed: tuple[str, ...]) -> Iterator[str]:
    if then.lineage["code_version"] == workspace.code_version() and not changed:
        return
    what = f"changed in models: {', '.join(changed)}" if changed else "models is unchanged"
    before, now = str(then.lineage["code_version"])[:12], workspace.code_version()[:12]
    yield f"This compares two versions of the code: sources {before} then, {now} now; {what}."
