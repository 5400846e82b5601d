"""Evaluate: measure a detector on the test split of a data version."""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.entities import DatasetInput, InputTag, Metric
from numpy.typing import NDArray

from models.contracts import Progress, silent
from models.metrics import detection, intervals
from tasks.data import mlflow_dataset
from tasks.evaluation import clusters, measure_sharded, pictures, plots, put_in
from tasks.evaluation.measure import Measured, measure
from tasks.packaging import package
from tasks.packaging.detector import Packaged
from tasks.packaging.program import STEADY
from tasks.platform import progress
from tasks.records import DataVersion, Report, TrainedModel
from tasks.registry import mlflow_store, model_versions
from tasks.registry.caching import remembered
from tasks.registry.tags import EVALUATION_DATA_DIGEST, EVALUATION_NOTES

TITLES = {
    "frame_auc": "frame AUC",
    "image_auroc": "image AUROC",
    "pixel_eer": "pixel EER",
    "pixel_auroc": "pixel AUROC",
    "cluster_acc": "cluster accuracy",
    "cluster_nmi": "NMI",
    "put_in_auroc": "AUROC of put-in defects",
}
"""What the title of the picture of a result says."""


PUT_IN = (
    "No test image is marked as anomalous: figures that begin with put_in_ are about defects that "
    "were put into normal images."
)


@dataclass
class Metrics:
    """Figures of merit, and why some have no value."""

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@remembered("evaluate on {version}")
def evaluate(version: DataVersion, detector: TrainedModel) -> Report:
    """Score the whole test split with a packaged detector, and log what came of it to its run.

    Of clips these are ``frame_auc``, ``frame_eer`` and, with masks, ``pixel_eer``; of still images
    ``image_auroc``, ``image_eer`` and ``pixel_auroc``. Both have ``false_alarm_rate`` and
    ``detection_rate`` at the detector's ``threshold``, the former also at two p-values. These
    and the area under the ROC curve have 95% intervals, in ``_low`` and ``_high``, in which clips
    count. The area of each kind of anomaly, frames per second, and the figures of
    ``tasks.evaluation.clusters`` come on top. A metric that is undefined is left out, with a note.

    Args:
        version: Data, whose test split is scored.
        detector: A packaged detector in MLflow.

    Raises:
        DataError: If the test split cannot be read, or is shorter than the detector's window.
        RegistryError: If the packaged detector does not load.
    """
    packaged = package.load(model_versions.folder(detector.model_uri), device="auto", engine=STEADY)
    measured = measure_sharded.measured(version, detector, packaged, progress.bar)
    metrics = summarize(measured.scores, packaged.threshold, is_video=measured.is_video)
    pixel_auroc = measured.pixels.auroc()
    if not np.isnan(pixel_auroc):
        metrics.values["pixel_auroc"] = pixel_auroc
    if measured.put_in:
        metrics.values = put_in.renamed(metrics.values)
        metrics.notes.append(PUT_IN)
    found, notes = clusters.measure(measured.scores)
    metrics.values.update(found)
    metrics.notes.extend(notes)
    metrics.values["frames_per_s"] = measured.num_scored / measured.seconds
    metrics.values["end_to_end_frames_per_s"] = measured.num_scored / measured.elapsed
    _log(version, detector, measured, metrics, packaged.threshold)
    return Report(run_id=detector.run_id, data_digest=version.digest, metrics=dict(metrics.values))


def score_version(
    version: DataVersion, packaged: Packaged, progress: Progress = silent
) -> pd.DataFrame:
    """Score the test split of a data version, old or current; nothing is logged.

    Returns:
        One row per frame or image: ``clip``, ``kind``, ``frame``, ``label`` (1 is anomalous),
        ``image_score``, ``p_value`` and ``pixel_score``; of a clusterer also ``cluster``.

    Raises:
        DataError: If the test split cannot be read, or is shorter than the detector's window.
    """
    return measure(version, packaged, progress).scores


def summarize(scores: pd.DataFrame, threshold: float, *, is_video: bool) -> Metrics:
    """Metrics of a table of scores.

    Args:
        scores: As ``score_version`` returns it.
        threshold: Image score from which a frame is called anomalous.
        is_video: The frames are those of clips, not still images.
    """
    unit, auc = ("frame", "frame_auc") if is_video else ("image", "image_auroc")
    labels = scores["label"].to_numpy(dtype=bool)
    values = scores["image_score"].to_numpy(dtype=np.float64)
    found = Metrics({"threshold": threshold, "num_frames": float(len(scores))})
    for name, among in (("false_alarm_rate", ~labels), ("detection_rate", labels)):
        if among.any():
            found.values[name] = float((values[among] >= threshold).mean())
    if not labels.all():
        found.values |= _false_alarms(scores[~labels], threshold)
    if labels.any():
        found.values |= _interval("detection_rate", scores[labels], threshold)
    if not labels.any() or labels.all():
        only = "anomalous" if labels.any() else "normal"
        found.notes.append(f"No ROC, AUC and EER: the test split holds only {only} {unit}s.")
        return found
    clips = scores["clip"].to_numpy(dtype=str)
    low, high = detection.auc_interval(labels, values, clips)
    found.values |= {auc: detection.auc(labels, values), f"{auc}_low": low, f"{auc}_high": high}
    found.values[f"{unit}_eer"] = detection.equal_error_rate(labels, values)
    for kind, chosen in _by_kind(scores, labels):
        found.values[f"{auc}.{kind}"] = detection.auc(labels[chosen], values[chosen])
    if is_video:
        _add_pixel_eer(found, scores)
    return found


def _false_alarms(normal: pd.DataFrame, threshold: float) -> dict[str, float]:
    """Interval of the false-alarm rate, in which clips count, and rates at p-values of 5 and 1%."""
    found = _interval("false_alarm_rate", normal, threshold)
    if "p_value" in normal:
        for name, rate in (("p05", 0.05), ("p01", 0.01)):
            found[f"false_alarm_rate_{name}"] = float((normal["p_value"] <= rate).mean())
    return found


def _interval(rate: str, scores: pd.DataFrame, threshold: float) -> dict[str, float]:
    """The 95% interval of a rate of alarms, in which clips count."""
    hits, clips = (scores["image_score"] >= threshold).to_numpy(), scores["clip"].to_numpy()
    low, high = intervals.clustered_interval(hits, clips)
    return {f"{rate}_low": low, f"{rate}_high": high}


def _by_kind(
    scores: pd.DataFrame, labels: NDArray[np.bool_]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each kind of anomaly, and which rows are normal or an anomaly of it."""
    kinds = scores["kind"].to_numpy(dtype=str)
    for kind in np.unique(kinds[labels]):
        yield "".join(c if c.isalnum() else "_" for c in kind), ~labels | (kinds == kind)


def _add_pixel_eer(found: Metrics, scores: pd.DataFrame) -> None:
    marked = scores[scores["pixel_score"].notna()]
    labels = marked["label"].to_numpy(dtype=bool)
    if labels.any() and not labels.all():
        pixel_scores = marked["pixel_score"].to_numpy(dtype=np.float64)
        found.values["pixel_eer"] = detection.equal_error_rate(labels, pixel_scores)
    else:
        found.notes.append("No pixel_eer: there are no masks, or no anomaly maps.")


def _log(
    version: DataVersion,
    detector: TrainedModel,
    measured: Measured,
    metrics: Metrics,
    threshold: float,
) -> None:
    """Write metrics and artifacts to the detector's run; a second time replaces the first."""
    client, run_id = mlflow_store.client(), detector.run_id
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        measured.scores.to_csv(folder / "scores.csv", index=False)
        if measured.put_in:
            measured.scores.to_csv(folder / "put_in_scores.csv", index=False)
        _draw(folder, version.name, measured, metrics, threshold)
        clusters.draw(folder, measured.scores, measured.members)
        described = {"data": asdict(version), **asdict(metrics)}
        (folder / "metrics.json").write_text(json.dumps(described, indent=2))
        client.log_artifacts(run_id, str(folder), "evaluation")
    entity = mlflow_dataset.dataset(version)._to_mlflow_entity()  # noqa: SLF001 - MLflow's client wants it
    context = InputTag("mlflow.data.context", "evaluation")
    client.log_inputs(run_id, [DatasetInput(entity, [context])])
    client.set_tag(run_id, EVALUATION_NOTES, " ".join(metrics.notes))
    client.set_tag(run_id, EVALUATION_DATA_DIGEST, version.digest)
    client.log_batch(run_id, metrics=_entities(metrics.values, version, detector))


def _entities(
    values: Mapping[str, float], version: DataVersion, detector: TrainedModel
) -> list[Metric]:
    """Metrics that know the model and the data they are about."""
    now = int(time.time() * 1000)
    return [
        Metric(
            key=name,
            value=value,
            timestamp=now,
            step=0,
            model_id=detector.model_uri.removeprefix("models:/"),
            dataset_name=version.name,
            dataset_digest=version.digest,
            run_id=detector.run_id,
        )
        for name, value in values.items()
    ]


def _draw(folder: Path, name: str, measured: Measured, metrics: Metrics, threshold: float) -> None:
    scores, gallery = measured.scores, measured.gallery
    plots.roc(scores, threshold).savefig(folder / "roc.png")
    if measured.is_video:
        plots.timeline(scores, threshold).savefig(folder / "timeline.png")
    else:
        plots.scores_by_kind(scores, threshold).savefig(folder / "scores_by_kind.png")
    unit = "frames" if measured.is_video else "images"
    rows = [
        (f"Anomalous {unit} that score highest", gallery.detected[:5]),
        ("", gallery.detected[5:]),
        (f"Normal {unit} that score highest", gallery.alarming),
        (f"Anomalous {unit} that score lowest", gallery.missed),
    ]
    pictures.gallery(rows).savefig(folder / "worst_frames.png")
    figures = ", ".join(
        f"{title} {metrics.values[key]:.3f}"
        for key, title in TITLES.items()
        if key in metrics.values
    )
    title = f"{name}: {figures}" if figures else name
    picture = pictures.result_picture(title, gallery.highlights(4), scores, threshold)
    picture.savefig(folder / "result.png")
