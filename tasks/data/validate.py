"""Validate: hold a data version to expectations before anything is trained on it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from filelock import FileLock

from models.errors import DataValidationError, NotFoundError
from tasks.data import manifest, mlflow_dataset, snapshots
from tasks.data.limits import Expectations, Outcome
from tasks.platform import progress, workspace
from tasks.records import DataVersion, Validation
from tasks.registry import lineage_record, mlflow_store, model_versions
from tasks.registry.caching import remembered
from tasks.registry.tags import DATA_DIGEST, TRAIN

if TYPE_CHECKING:
    import pandas as pd

    from tasks.data.run_suite import Checked


def _usual(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The range that images must lie in, which the champion's lay in."""
    return {"usual": _champion(arguments["model_name"], arguments["version"]).get("range")}


@remembered(also=_usual)
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
        rows = manifest.read(snapshots.open_version(version), progress.bar)
        champion = _champion(model_name, version)
        checked = _check(rows, expectations, champion, version, model_name)
        failed = [each for each in checked.outcomes if not each.success]
        critical = [each for each in failed if each.severity == "critical"]
        statistics = _statistics(rows)
        _log(rows, checked, statistics, champion)
        mlflow.log_metrics({**statistics, "num_failed": len(failed), "num_critical": len(critical)})
        if critical:
            raise DataValidationError(_explain(version, critical, checked.docs))
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
    version: DataVersion,
    model_name: str,
) -> "Checked":
    from tasks.data.run_suite import check

    folder = workspace.home() / "validation" / f"{model_name}-{version.digest[:12]}"
    folder.parent.mkdir(exist_ok=True)
    usual = champion.get("range")
    with FileLock(folder.with_suffix(".lock")):
        return check(rows, expectations, usual, name=model_name, folder=folder)


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
    mlflow.log_artifacts(str(checked.docs), "validation/data_docs")


def _explain(version: DataVersion, failed: Sequence[Outcome], docs: Path) -> str:
    lines = "\n".join(f"- {each.name}: {each.message}" for each in failed)
    return (
        f"The data version {version.name} {version.digest} must meet every critical expectation, "
        f"and fails {len(failed)}; nothing was trained.\n{lines}\nLook at {docs / 'index.html'}, "
        "correct the files, and bring them in again with 'unseen ingest'."
    )
