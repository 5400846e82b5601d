"""Scores of two versions on the same frames, and by how much one is better.

A measure gives figures of which more is better, so that all are compared alike.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

from models.errors import RegistryError
from models.metrics.bootstrap import Difference, resamples, summarized
from models.metrics.clustering import accuracy_difference
from models.metrics.detection import auc, auc_difference
from tasks.data.kinds import class_of
from tasks.evaluation import clusters
from tasks.packaging.program import STEADY
from tasks.records import DataVersion, Report
from tasks.registry import mlflow_store, model_versions, version_facts
from tasks.registry.policy import METRICS
from tasks.registry.tags import EVALUATION_DATA_DIGEST, METRIC

if TYPE_CHECKING:
    import pandas as pd

SCORES = METRICS["frame_auc"].scores
"""Artifact of an evaluated run: the scores of its test split."""
PUT_IN = METRICS["put_in_auroc"].scores
"""Artifact: the same, with defects that were put in, where the test split has none."""
Measured = tuple[tuple[float, float], Difference]
"""A figure of the challenger and of the champion, and their difference."""


def both_scores(
    artifact: str,
    judged: RegisteredVersion,
    opponent: RegisteredVersion | None,
    report: Report,
) -> "pd.DataFrame | None":
    """Frames that two versions scored, as ``paired`` has them; None if no scores are kept.

    Args:
        artifact: Which scores.
        judged: The challenger.
        opponent: The champion; if None, its place is taken by one that cannot tell frames apart.
        report: The challenger's evaluation.

    Raises:
        RegistryError: If the challenger's scores are lost, or the champion cannot score its data.
    """
    scores = logged_scores(report.run_id, artifact)
    if scores is None and artifact == SCORES:
        raise RegistryError(
            f"The run {report.run_id} must hold {SCORES} to be compared. Evaluate the model again."
        )
    if scores is None or opponent is None:
        return (
            scores if scores is None else paired(scores, scores.assign(image_score=0.0, cluster=0))
        )
    other = _champion_scores(artifact, judged, opponent, report)
    return other if other is None else paired(scores, other)


def logged_scores(run_id: str, artifact: str = SCORES) -> "pd.DataFrame | None":
    """The table of test scores of a run; None if the run or its table is gone.

    Raises:
        RegistryError: If MLflow does not answer.
    """
    import pandas as pd

    path = version_facts.run_artifact(mlflow_store.client(), run_id, artifact)
    return pd.read_csv(path, dtype={"clip": str}) if path else None


def paired(challenger: "pd.DataFrame", champion: "pd.DataFrame") -> "pd.DataFrame":
    """Frames that both scored: ``clip``, ``frame``, ``label``, ``challenger``, ``champion``.

    Raises:
        RegistryError: If they have none in common, or differ about what is anomalous.
    """
    both = challenger.merge(
        champion, on=["clip", "frame"], suffixes=("", "_champion"), validate="one_to_one"
    )
    if both.empty or (both.label != both.label_champion).any():
        raise RegistryError(
            "Challenger and champion must have scored the same test frames with the same labels, "
            f"got {len(challenger)} and {len(champion)} frames, {len(both)} in common. Evaluate "
            "the challenger again."
        )
    return both.rename(columns={"image_score": "challenger", "image_score_champion": "champion"})


def _areas(both: "pd.DataFrame", terms: Mapping[str, Any]) -> Measured:
    """Areas under both ROC curves, the challenger's first, and their difference."""
    anomalous = both["label"].to_numpy(dtype=bool)
    new, old = (both[name].to_numpy(dtype=np.float64) for name in ("challenger", "champion"))
    clips = both["clip"].to_numpy(dtype=str)
    found = auc_difference(anomalous, champion=old, challenger=new, clips=clips, **terms)
    return (auc(anomalous, new), auc(anomalous, old)), found


def _accuracies(both: "pd.DataFrame", terms: Mapping[str, Any]) -> Measured:
    """Accuracies of both clusterings, the challenger's first, and their difference.

    Raises:
        RegistryError: If one of them has no clusters, or no test image has a class.
    """
    columns = ("cluster", "cluster_champion")
    named = both[both["kind"].map(class_of).notna()]
    if not {*columns} <= {*both.columns} or named.empty:
        raise RegistryError(
            "Clusters can be compared if challenger and champion both have some and test/ has "
            "kinds good-<class>. Choose another metric, or retrain under another name."
        )
    new, old = (clusters.correct(named, column) for column in columns)
    found = accuracy_difference(old, new, named["clip"].to_numpy(dtype=str), **terms)
    return (float(new.mean()), float(old.mean())), found


def alarms(
    both: "pd.DataFrame", judged: RegisteredVersion, opponent: RegisteredVersion | None
) -> "pd.DataFrame":
    """The normal frames alone, and instead of scores 1 where a version raises no alarm, else 0.

    Raises:
        RegistryError: If no frame is normal.
    """
    normal = both[both.label == 0]
    if normal.empty:
        raise RegistryError("False alarms need normal frames in the test split, and it holds none.")
    coin = 0.5
    return normal.assign(
        challenger=(normal.challenger < _threshold(judged)).astype(float),
        champion=(normal.champion < _threshold(opponent)).astype(float) if opponent else coin,
    )


def _threshold(version: RegisteredVersion) -> float:
    told = version.tags.get(f"{METRIC}threshold")
    return float(told) if told else model_versions.load(version).threshold


def _quiet(both: "pd.DataFrame", terms: Mapping[str, Any]) -> Measured:
    """Shares of normal frames without an alarm, the challenger's first, and their difference."""
    new, old = (both[name].to_numpy(dtype=np.float64) for name in ("challenger", "champion"))
    weights = resamples(
        both["clip"].to_numpy(dtype=str), int(terms["num_resamples"]), int(terms["seed"])
    )
    differences = weights @ (new - old) / weights.sum(axis=1)
    return (float(new.mean()), float(old.mean())), summarized(differences, terms["confidence"])


MEASURES: dict[str, Callable[["pd.DataFrame", Mapping[str, Any]], Measured]] = {
    "frame_auc": _areas,
    "image_auroc": _areas,
    "put_in_auroc": _areas,
    "cluster_acc": _accuracies,
    "false_alarm_rate": _quiet,
}


def _champion_scores(
    artifact: str, judged: RegisteredVersion, serving: RegisteredVersion, report: Report
) -> "pd.DataFrame | None":
    if serving.tags.get(EVALUATION_DATA_DIGEST) == report.data_digest:
        logged = logged_scores(serving.run_id, artifact)
        if logged is not None:
            return logged
    if artifact not in {SCORES, PUT_IN}:
        return None
    version = DataVersion(**model_versions.load(judged).lineage["data"])
    if version.digest != report.data_digest:
        raise RegistryError(
            f"The challenger was evaluated on {report.data_digest} and trained on "
            f"{version.digest}: only its own data version can be compared. Evaluate it on that."
        )
    from tasks.evaluation.evaluate import score_version

    return score_version(version, model_versions.load(serving, device="auto", engine=STEADY))
