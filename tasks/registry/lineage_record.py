"""Lineage: what a model was made from, kept where the loss of one store cannot reach it.

It is written three times: as the run's dataset input, whose source is the DVC version; as tags of
the model version; and in the model's own files. ``mlflow gc`` deletes the first of them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tasks.packaging import formats
from tasks.platform import flow_run, workspace
from tasks.records import DataVersion, Report, Source, Validation
from tasks.registry import mlflow_store
from tasks.registry.tags import TAG

ORIGIN = ("name", "version", "digest", "run_id")
"""What names the model version that another was adapted from."""
LONGEST_RECIPE = 5000
"""Characters of the recipe in a tag; the whole of it is in the model's ``lineage.json``."""


def data_tags(version: DataVersion) -> dict[str, str]:
    """A data version as tags, without the prefix ``unseen.``."""
    return {
        "data_name": version.name,
        "data_digest": version.digest,
        "data_md5": version.dvc_md5,
        "data_git_commit": version.git_commit,
        "data_remote": version.remote or "",
        "data_num_files": str(version.num_files),
    }


def describe(  # noqa: PLR0913 - the record has so many parts
    *,
    version: DataVersion,
    validation: Validation,
    pretext: Mapping[str, Any] | None,
    recipe: Mapping[str, Any],
    seed: int,
    run_id: str,
    device: str,
    source: Source | None = None,
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Content of ``lineage.json`` in the packaged detector: all that a trace needs, in one place.

    Args:
        version: The data it was trained on.
        validation: What the expectations said of that data.
        pretext: ``run_id``, ``backbone`` and ``data`` of the run that trained the encoder.
        recipe: The whole experiment.
        seed: Of the training.
        run_id: MLflow run that fitted the detector.
        device: What it was fitted on.
        source: The registered detector that it was adapted from, if it was.
        statistics: Digest of its moments, the run whose moments they were made from, and the
            difference; None if they do not add up. See ``tasks.training.moments``.
    """
    return {
        "format": formats.CURRENT["lineage.json"],
        "data": asdict(version),
        "validation": asdict(validation),
        "pretext": pretext,
        "recipe": recipe,
        "git_commit": workspace.git_commit(),
        "code_version": workspace.code_version(),
        "flow_run_id": flow_run.current(),
        "run_id": run_id,
        "seed": seed,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "environment": mlflow_store.hardware(),
        "source": _origin(source) if source else None,
        "statistics": statistics,
    }


def _origin(source: Source) -> dict[str, Any]:
    known = {key: getattr(source, key) for key in ORIGIN}
    return {**known, "data": asdict(source.data)}


def version_tags(lineage: Mapping[str, Any], digest: str, report: Report) -> dict[str, str]:
    """Tags of a model version: enough to trace it if its run, Prefect and its files are lost.

    Args:
        lineage: Content of the packaged detector's ``lineage.json``.
        digest: The package's digest.
        report: Its evaluation.
    """
    pretext, source = lineage["pretext"] or {}, lineage.get("source") or {}
    tags = {
        **data_tags(DataVersion(**lineage["data"])),
        "validation_run_id": lineage["validation"]["run_id"],
        "validation_suite": lineage["validation"]["suite"],
        "pretext_run_id": pretext.get("run_id", ""),
        "pretext_data_digest": (pretext.get("data") or {}).get("digest", ""),
        "recipe": json.dumps(lineage["recipe"])[:LONGEST_RECIPE],
        "statistics": _short(lineage.get("statistics") or {}),
        "model_digest": digest,
        "evaluation_data_digest": report.data_digest,
    }
    for key in ("git_commit", "code_version", "flow_run_id", "run_id"):
        tags[key] = str(lineage[key])
    if source:
        tags |= {f"source_{key}": str(source[key]) for key in ORIGIN}
        tags["source_data_digest"] = source["data"]["digest"]
    for name, value in lineage["validation"]["statistics"].items():
        if name.startswith("train_"):  # the next validation compares its images with these
            tags[name] = repr(value)
    for name, value in report.metrics.items():
        tags[f"metric.{name}"] = repr(value)
    people = {"data_digest": tags["data_digest"], "recipe": lineage["recipe"].get("name", "")}
    return {**{TAG + key: value for key, value in tags.items()}, **people}


def _short(statistics: Mapping[str, Any]) -> str:
    """As JSON; without the names of clips if they take too much room."""
    text = json.dumps(statistics)
    if len(text) <= LONGEST_RECIPE:
        return text
    return json.dumps({k: v for k, v in statistics.items() if not isinstance(v, list)})
