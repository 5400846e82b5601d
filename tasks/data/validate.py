"""Validate: hold a data version to expectations before anything is trained on it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
from filelock import FileLock

from models.errors import DataError, DataValidationError, NotFoundError
from tasks.data import extension, manifest, mlflow_dataset, snapshots
from tasks.data.limits import Expectations, Outcome
from tasks.data.snapshots import Snapshot
from tasks.platform import progress, workspace
from tasks.records import DataVersion, Validation
from tasks.registry import lineage_record, mlflow_store, model_versions
from tasks.registry.caching import remembered
from tasks.registry.tags import DATA_DIGEST, TRAIN

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd

    from tasks.data.run_suite import Checked


def _limits(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The range that images must lie in, as the champion's did, and the user's expectations."""
    name = arguments["model_name"]
    usual = _champion(name, arguments["version"]).get("range")
    return {"champion_range": usual, "added": extension.content(name)}


@remembered("validate {version}", also=_limits)
def validate(version: DataVersion, expectations: Expectations, model_name: str) -> Validation:
    """Hold a data version to a Great Expectations suite, and log what came of it as a run.

    Args:
        version: The data.
        expectations: The limits.
        model_name: The registered model that is to be trained; the intensity of the training
            images is compared with that of its champion's, if it has one.

    Raises:
        DataValidationError: If an expectation of severity ``critical`` fails; names the files.
        DataError: If the data version cannot be read at all.
    """
    limits = mlflow_store.flatten(expectations, "expectations")
    with mlflow_store.run(
        "validate", model_name, tags=lineage_record.data_tags(version), params=limits
    ) as active:
        mlflow_dataset.log_input(version, "validation")
        snapshot = snapshots.open_version(version)
        rows = manifest.read(snapshot, progress.bar)
        champion = _champion(model_name, version)
        with TemporaryDirectory() as alone:
            added = extension.build(model_name)
            checked = _check(
                rows,
                expectations,
                champion,
                snapshot,
                model_name,
                folder=workspace.root(),
                added=added,
                alone=Path(alone),
            )
            mlflow.log_artifacts(alone, "validation/data_docs")
        failed = [each for each in checked.outcomes if not each.success]
        critical = [each for each in failed if each.severity == "critical"]
        for each in failed:
            if each not in critical:
                log.warning("%s: %s", each.name, each.message)
        statistics = {**_statistics(rows), **_facts(snapshot)}
        _log(rows, checked, statistics, champion)
        mlflow.log_metrics({**statistics, "num_failed": len(failed), "num_critical": len(critical)})
        if critical:
            raise DataValidationError(
                _explain(version, critical, checked.docs),
                summary=_summary(rows, critical),
                run_id=active.info.run_id,
            )
    return Validation(
        run_id=active.info.run_id,
        data_digest=version.digest,
        suite=model_name,
        num_expectations=len(checked.outcomes),
        failed=tuple(each.name for each in failed),
        statistics=statistics,
    )


def _check(
    rows: "pd.DataFrame",
    expectations: Expectations,
    champion: dict[str, Any],
    snapshot: Snapshot,
    model_name: str,
    *,
    folder: Path,
    **more: Any,
) -> "Checked":
    from tasks.data.run_suite import check

    usual, facts = champion.get("range"), (snapshot.levels, _frame_rate(snapshot))
    with progress.waiting("Checking the expectations"), FileLock(workspace.home() / "gx.lock"):
        return check(rows, expectations, usual, facts, name=model_name, folder=folder, **more)


def look(
    version: DataVersion, limits: Expectations | None = None
) -> tuple["pd.DataFrame", tuple[Outcome, ...]]:
    """What a data version holds, file by file, and the expectations that it fails; no run of it.

    Args:
        version: The data.
        limits: None checks what does not depend on what is to be trained.

    Raises:
        DataError: If the data version cannot be read at all.
    """
    from tasks.data.run_suite import outcomes

    snapshot = snapshots.open_version(version)
    rows = manifest.read(snapshot, progress.bar)
    few = Expectations(min_train_images=1, min_test_images=0, min_frames_per_clip=1)
    found = outcomes(rows, limits or few, None, (snapshot.levels, _frame_rate(snapshot)))
    return rows, tuple(each for each in found if not each.success)


def _facts(snapshot: Snapshot) -> dict[str, float]:
    """Range of images of more than 8 bits, and frame rate, as far as there are."""
    low, high = snapshot.levels or (None, None)
    found = {"levels_low": low, "levels_high": high, "frame_rate": _frame_rate(snapshot)}
    return {name: value for name, value in found.items() if value is not None}


def _frame_rate(snapshot: Snapshot) -> float | None:
    try:
        return snapshot.frame_rate
    except DataError:  # a damaged video, which the manifest tells
        return None


def _champion(model_name: str, version: DataVersion) -> dict[str, Any]:
    """Version of the champion and intensity range of its training images, or why there is none."""
    try:
        champion = model_versions.resolve(
            mlflow_store.client(), model_name, model_versions.CHAMPION
        )
    except NotFoundError:
        return {"skipped": f"{model_name} has no champion yet"}
    known = {"version": int(champion.version)}
    if champion.tags.get(DATA_DIGEST) == version.digest:
        return {**known, "skipped": "the champion was trained on this very data version"}
    ends = [champion.tags.get(f"{TRAIN}mean_{end}") for end in ("min", "max")]
    if None in ends:
        return {**known, "skipped": "the champion's tags do not tell the range of its images"}
    low, high = map(float, ends)
    return {**known, "range": (low, high)}


def _statistics(rows: "pd.DataFrame") -> dict[str, float]:
    """Counts, and the range of mean gray level and contrast of the training images."""
    pictures = rows[rows["role"].isin(["image", "video"]) & rows["decodes"].eq(True)]
    train = pictures[pictures["split"] == "train"]
    test = pictures[pictures["split"] == "test"]
    found = {
        "num_files": float(len(rows)),
        "num_train_images": float(train["num_frames"].sum()),
        "num_test_images": float(test["num_frames"].sum()),
    }
    if len(train):
        for column in ("mean", "contrast"):
            found[f"train_{column}_min"] = float(train[column].min())
            found[f"train_{column}_max"] = float(train[column].max())
    return found


def _log(
    rows: "pd.DataFrame",
    checked: "Checked",
    statistics: dict[str, float],
    champion: dict[str, Any],
) -> None:
    problems = rows[rows["problem"].notna()].head(100)
    result = {
        "success": all(each.success for each in checked.outcomes),
        "statistics": statistics,
        "champion": champion,
        "expectations": [asdict(each) for each in checked.outcomes],
        "problems": dict(zip(problems["path"], problems["problem"], strict=True)),
    }
    mlflow.log_dict(result, "validation/result.json")
    mlflow.log_dict(checked.suite, "validation/suite.json")
    mlflow.log_text(rows.to_csv(index=False), "validation/manifest.csv")


def _summary(rows: "pd.DataFrame", failed: Sequence[Outcome]) -> str:
    """How many files have a problem; else which expectations fail."""
    if files := int(rows["problem"].notna().sum()):
        return f"{files} {'file' if files == 1 else 'files'}"
    return ", ".join(each.name for each in failed)


def _explain(version: DataVersion, failed: Sequence[Outcome], docs: Path) -> str:
    lines = "\n".join(f"- {each.name}: {each.message}" for each in failed)
    return (
        f"The data version {version.name} {version.digest} must meet every critical expectation, "
        f"and fails {len(failed)}; nothing was trained.\n{lines}\nLook at {docs / 'index.html'}, "
        "correct the files, and bring them in again with 'unseen ingest'."
    )
