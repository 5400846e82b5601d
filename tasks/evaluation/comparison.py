"""Comparison of a challenger with the champion, on the same frames of the same test data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

from models.errors import NotFoundError, RegistryError
from models.metrics.bootstrap import Difference
from models.metrics.clustering import accuracy_difference
from models.metrics.detection import auc, auc_difference
from tasks.data.kinds import class_of
from tasks.evaluation import clusters
from tasks.records import DataVersion, Report
from tasks.registry import mlflow_store, model_versions
from tasks.registry.mlflow_store import TAG

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("frame_auc", "image_auroc", "cluster_acc")
"""Metrics that can be compared: the area under the ROC curve of a clip's frames, or of images, and
the accuracy of clusters."""
SCORES = "evaluation/scores.csv"
"""Artifact of an evaluated run: ``clip``, ``kind``, ``frame``, ``label``, ``image_score``; of a
clusterer also ``cluster``."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a comparison found."""

    accepted: bool
    """The challenger is not worse by more than the margin."""
    why: str
    figures: dict[str, float]


def compare(
    judged: RegisteredVersion,
    serving: RegisteredVersion,
    report: Report,
    metric: str,
    *,
    margin: float,
    confidence: float,
    num_resamples: int,
    seed: int,
) -> Outcome:
    """Compare two versions by a paired bootstrap over the test clips.

    The scores are those that each run logged. If the champion was evaluated on other data, it
    scores the challenger's test data now.

    Args:
        judged: The challenger.
        serving: The champion.
        report: The challenger's evaluation.
        metric: One of ``METRICS``.
        margin: How much lower the challenger's metric may be.
        confidence: Of the lower bound of the difference.
        num_resamples: Bootstrap samples of the clips.
        seed: Of the bootstrap.

    Raises:
        RegistryError: If the challenger's scores are lost, or the champion cannot score its data.
    """
    challenger = logged_scores(report.run_id)
    if challenger is None:
        raise RegistryError(
            f"The run {report.run_id} must hold {SCORES} to be compared. Evaluate the model again."
        )
    both = paired(challenger, _champion_scores(judged, serving, report))
    if not np.isfinite(both.challenger).all():
        return Outcome(accepted=False, why="Not all of its scores are finite.", figures={})
    terms = {"confidence": confidence, "num_resamples": num_resamples, "seed": seed}
    measure = _accuracies if metric == "cluster_acc" else _areas
    (new, old), found = measure(both, terms)
    figures = {
        "challenger": new,
        "champion": old,
        "difference": found.mean,
        "lower_bound": found.lower_bound,
        "share_worse": found.share_worse,
        "num_clips": both["clip"].nunique(),
        "num_frames": len(both),
    }
    accepted = found.lower_bound >= -margin
    other = "" if serving.name == judged.name else f"{serving.name} "
    why = (
        f"{metric} {figures['challenger']:.4f} against {figures['champion']:.4f} of {other}version "
        f"{serving.version}: with {confidence:.0%} confidence the difference is at least "
        f"{found.lower_bound:+.4f}, and {-margin:+.4f} is {'allowed' if accepted else 'the limit'}."
    )
    return Outcome(accepted=accepted, why=why, figures=figures)


def logged_scores(run_id: str) -> "pd.DataFrame | None":
    """The table of test scores of a run; None if the run or its table is gone."""
    import pandas as pd

    try:
        return pd.read_csv(mlflow_store.artifact(run_id, SCORES), dtype={"clip": str})
    except NotFoundError:
        return None


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


def _areas(
    both: "pd.DataFrame", terms: Mapping[str, Any]
) -> tuple[tuple[float, float], Difference]:
    """Areas under both ROC curves, the challenger's first, and their difference."""
    anomalous = both["label"].to_numpy(dtype=bool)
    new, old = (both[name].to_numpy(dtype=np.float64) for name in ("challenger", "champion"))
    clips = both["clip"].to_numpy(dtype=str)
    found = auc_difference(anomalous, champion=old, challenger=new, clips=clips, **terms)
    return (auc(anomalous, new), auc(anomalous, old)), found


def _accuracies(
    both: "pd.DataFrame", terms: Mapping[str, Any]
) -> tuple[tuple[float, float], Difference]:
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


def _champion_scores(
    judged: RegisteredVersion, serving: RegisteredVersion, report: Report
) -> "pd.DataFrame":
    if serving.tags.get(f"{TAG}evaluation_data_digest") == report.data_digest:
        logged = logged_scores(serving.run_id)
        if logged is not None:
            return logged
    version = DataVersion(**model_versions.load(judged).lineage["data"])
    if version.digest != report.data_digest:
        raise RegistryError(
            f"The challenger was evaluated on {report.data_digest} and trained on "
            f"{version.digest}: only its own data version can be compared. Evaluate it on that."
        )
    from tasks.evaluation.evaluate import score_version

    return score_version(version, model_versions.load(serving, device="auto"))
