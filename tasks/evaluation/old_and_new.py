"""Old and new: what two versions are worth on test pictures that the champion's data had, and not.

All test pictures together decide. Told apart, they say whether what was brought in since is better
understood, and whether what was there before still is.
"""

from typing import TYPE_CHECKING

import numpy as np
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

from models.metrics.detection import auc
from tasks.data import layout
from tasks.evaluation.paired_scores import alarms
from tasks.registry import version_facts
from tasks.registry.tags import DATA_DIGEST

if TYPE_CHECKING:
    import pandas as pd


def apart(
    both: "pd.DataFrame", judged: RegisteredVersion, opponent: RegisteredVersion
) -> tuple[str, dict[str, float]]:
    """A sentence and figures about old and new test pictures; both empty if none is new.

    Args:
        both: Scores of both versions, as ``paired_scores.paired`` has them.
        judged: The challenger.
        opponent: The champion.
    """
    if judged.tags.get(DATA_DIGEST) == opponent.tags.get(DATA_DIGEST):
        return "", {}
    files, former = _test_clips(judged), _test_clips(opponent)
    known = {clip for clip, md5s in files.items() if former.get(clip) == md5s}
    old = both["clip"].map(lambda clip: clip in known or clip not in files)
    if old.all() or not former:
        return "", {}
    told: list[str] = []
    figures: dict[str, float] = {}
    for name, part in (("old", both[old]), ("new", both[~old])):
        sentence, found = _of(part, judged, opponent) if len(part) else ("none", {})
        told.append(f"{name}: {sentence}")
        figures |= {f"{name}.{key}": value for key, value in found.items()}
    return f"Test pictures {'; '.join(told)}.", figures


def _of(
    part: "pd.DataFrame", judged: RegisteredVersion, opponent: RegisteredVersion
) -> tuple[str, dict[str, float]]:
    clips = part["clip"].nunique()
    labels = part["label"].to_numpy(dtype=bool)
    told, figures = [f"{clips}"], {"num_clips": float(clips)}
    scores = {name: part[name].to_numpy(dtype=np.float64) for name in ("challenger", "champion")}
    if labels.any() and not labels.all():
        areas = {name: auc(labels, values) for name, values in scores.items()}
        told.append(f"AUROC {areas['challenger']:.4f} against {areas['champion']:.4f}")
        figures |= {f"{name}_auroc": value for name, value in areas.items()}
    if not labels.all():
        quiet = alarms(part, judged, opponent)
        counts = {name: float((quiet[name] == 0).sum()) for name in scores}
        of = f" of {len(quiet)} normal frames" if labels.any() else ""
        told.append(f"{counts['challenger']:.0f} false alarms against {counts['champion']:.0f}{of}")
        figures |= {f"{name}_false_alarms": value for name, value in counts.items()}
    return ", ".join(told), figures


def _test_clips(version: RegisteredVersion) -> dict[str, tuple[str, ...]]:
    """The md5s of the test clips of a version's data, by name."""
    found: dict[str, tuple[str, ...]] = {}
    for file in version_facts.read_json(version, "files.json") or ():
        place = layout.place(file["relpath"])
        if place.split == "test" and place.role in {"image", "video"}:
            name = place.clip or f"{place.kind}/{place.stem}"
            found[name] = (*found.get(name, ()), file["md5"])
    return found
