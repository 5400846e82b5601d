"""One awkward input, through ingest, validation, training, evaluation and a prediction."""

import hashlib
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from benchmarks import _awkward_pictures as pictures
from benchmarks._awkward_cases import INGEST, READ, VALIDATION, Case
from flows.cli.tables import ingest_summary
from models.contracts import silent
from models.encoders.pixels import Pixels
from models.errors import DataValidationError, UnseenError
from models.one_class.knn import NearestNeighbours
from models.one_class.pooled_gaussian import PooledGaussian
from tasks.data import dvc_cache, snapshots, versions
from tasks.data.ingest import ingest_folder
from tasks.data.limits import Expectations
from tasks.data.snapshots import Clip, Snapshot
from tasks.data.validate import look, validate
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.scoring import scored
from tasks.packaging import package
from tasks.packaging.calibration import Calibration
from tasks.packaging.detector import Packaged
from tasks.packaging.network import Network
from tasks.packaging.preprocessing import Preprocessing
from tasks.records import DataVersion, Training, Validation
from tasks.registry import model_versions
from tasks.serving import uploads
from tasks.serving.uploads import Limits
from tasks.training import devices, inputs
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain

NAME = "awkward"
MASK_ERROR = 0.02
"""Share of the pixels of a mask that compression may change."""
Numbers = NDArray[np.int16]


@dataclass
class Result:
    """What came of one input."""

    name: str
    outcome: str = ""
    told: str = ""
    """The error, or all warnings."""
    traceback: str = ""
    misread: list[str] = field(default_factory=list)
    lost: bool = False

    @property
    def faults(self) -> list[str]:
        """All that is wrong."""
        lost = ["data were lost or changed by a refusal"] if self.lost else []
        return [*self.misread, *lost, *([self.traceback] if self.traceback else [])]


def run(case: Case, folder: Path) -> Result:
    """Bring a set in under a name that is known already, train on it, and predict.

    Args:
        case: The input.
        folder: A new folder for its files.
    """
    result, before = Result(case.name), ""
    try:
        if case.inside:
            ingest_folder(str(good()), name=NAME)
            folder = versions.folder() / NAME
        case.make(folder)
        before = digest()
        _through(case, folder, result)
    except UnseenError as error:
        if result.outcome == READ:
            result.misread.append(f"read, and not trained on: {error}")
            return result
        refused = VALIDATION if isinstance(error, DataValidationError) else INGEST
        result.outcome, result.told = refused, str(error)
        result.lost = result.lost or (refused == INGEST and digest() != before)
    except Exception:  # whatever is no error of ours is what is looked for
        result.traceback = traceback.format_exc()
        return result
    if result.outcome != case.outcome:
        result.misread.append(f"{case.outcome} expected, {result.outcome}: {result.told}")
    elif not re.search(
        case.words if case.words.count(".*") else re.escape(case.words), result.told
    ):
        result.misread.append(f"{case.words!r} not told: {result.told}")
    return result


def good() -> Path:
    """The set without faults."""
    return versions.folder().with_name(".unseen") / "good"


def digest() -> str:
    """SHA-256 over the names and bytes of all that is in ``data/``, and ``data.dvc``."""
    top, found = versions.folder(), hashlib.sha256()
    for path in [*sorted(top.rglob("*")), top.with_name("data.dvc")]:
        found.update(str(path.relative_to(top.parent)).encode("utf-8", "surrogateescape"))
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


def _through(case: Case, folder: Path, result: Result) -> None:
    if case.inside:
        version, changes = ingest_folder(NAME)
        if changes:
            result.misread.append(f"a new version was made: {changes}")
    else:
        version, changes = ingest_folder(str(folder), name=NAME)
    limits = Expectations(min_train_images=5, min_frames_per_clip=6 if case.clips else 1)
    if case.normal_only:
        limits = replace(limits, min_test_images=0, anomalies=False)
    before = digest()
    files, failed = look(version, limits)
    shown = Console(file=StringIO(), markup=False, emoji=False)
    shown.print(ingest_summary(version, changes, files, failed, committed=False))
    result.told = "\n".join(f"{each.name}: {each.message}" for each in failed)
    result.lost = digest() != before
    if any(each.severity == "critical" for each in failed):
        raise DataValidationError(result.told)
    snapshot = snapshots.open_version(version)
    validation = validate.fn(version, limits, NAME) if case.logged else None
    result.outcome = READ
    result.misread += misread(snapshot, case)
    _trained(case, version, validation, snapshot, result)


def _trained(
    case: Case,
    version: DataVersion,
    validation: Validation | None,
    snapshot: Snapshot,
    result: Result,
) -> None:
    """Train, predict and evaluate: serving reads as training does, and anomalies rank first."""
    training = Training(window=6 if case.clips else 1, batch_size=8, device="cpu")
    detector: Any = NearestNeighbours.Config(grid=8)
    if case.clips:
        detector = PooledGaussian.Config(neighbourhood=1)
    make = _logged if case.logged else _fitted
    packaged = make(version, validation, snapshot, detector, training)
    for clip in snapshot.clips("test"):
        received = uploads.read_frames(_sent(clip), how=packaged.preprocessing, limits=Limits())
        if not np.array_equal(received.frames, snapshot.read_clip(clip, None, 1)):
            result.misread.append(f"{clip.name} is served otherwise than it is trained on")
        packaged.predict(received.frames)
    if case.normal_only or case.clips or not case.separable:
        return
    parts = list(scored(snapshot, snapshot.clips("test"), packaged, silent))
    labels = np.concatenate([part.labels for part in parts])
    scores = np.concatenate([part.prediction.image_score for part in parts])
    if scores[labels].min() <= scores[~labels].max():
        result.misread.append("a normal test image scores as high as an anomalous one")


def _logged(
    version: DataVersion,
    validation: Validation | None,
    snapshot: Snapshot,  # noqa: ARG001 - as _fitted takes them
    detector: Any,
    training: Training,
) -> Packaged:
    """The tasks of a retrain themselves, as far as the package, with all that they log."""
    assert validation is not None
    encoder = Pixels.Config(channels=training.window)
    trunk = pretrain.fn(version, encoder, None, training, NAME)
    fitted = fit.fn(version, validation, trunk, detector, training, {"name": NAME}, NAME)
    evaluate.fn(version, fitted)
    return package.load(model_versions.folder(fitted.model_uri))


def _fitted(
    version: DataVersion,  # noqa: ARG001 - as _logged takes them
    validation: Validation | None,  # noqa: ARG001
    snapshot: Snapshot,
    detector: Any,
    training: Training,
) -> Packaged:
    """What the tasks do to the images, and nothing of what they log: it takes a tenth."""
    model = detector.build(Pixels.Config(channels=training.window).build())
    normal = inputs.normal_images(snapshot, training, (), cross=False)
    model.fit(normal.batches, normal.calibration, fabric=devices.fabric("cpu"), progress=silent)
    return Packaged(
        lambda: Network(model, torch.device("cpu")),
        preprocessing=Preprocessing(
            window=training.window, levels=snapshot.levels, frame_rate=snapshot.frame_rate
        ),
        threshold=float(model.threshold),
        pixel_threshold=float(model.pixel_threshold),
        calibration=Calibration(image_score=np.linspace(0, 1, 9), clip=np.arange(9)),
        lineage={},
        digest="",
    )


def _sent(clip: Clip) -> list[bytes]:
    frames = clip.frames[:1] if clip.is_video_file else clip.frames
    return [dvc_cache.cached_path(frame.entry.md5).read_bytes() for frame in frames]


def misread(snapshot: Snapshot, case: Case) -> Iterator[str]:
    """Pictures, labels, masks and orders of frames that are not what was written."""
    for split in ("train", "test"):
        wanted = dict(_expected(split, clips=case.clips))
        seen: set[int] = set()
        for clip in snapshot.clips(split):
            frames = snapshot.read_clip(clip, None, 1).astype(np.int16)
            places = [_nearest(frame, wanted, case.tolerance) for frame in frames]
            seen |= {place for place in places if place >= 0}
            if -1 in places and "9" not in clip.name:
                yield f"{split}/{clip.name} shows something else"
            if sorted(places) != places:
                yield f"the frames of {split}/{clip.name} are out of order: {places}"
            yield from _truth_misread(snapshot, clip, places)
        lacking = sorted(wanted.keys() - seen)
        if lacking and not (case.normal_only and split == "test"):
            yield f"{split} lacks the pictures {lacking}"


def _truth_misread(snapshot: Snapshot, clip: Clip, places: list[int]) -> Iterator[str]:
    if clip.kind in {"good", "ok", "Good"}:
        return
    anomalous = [place // 100 == 2 or place in {403, 404} for place in places]
    if snapshot.labels(clip).tolist() != anomalous:
        yield f"{clip.name} has the labels {snapshot.labels(clip).tolist()}, not {anomalous}"
    masks = snapshot.read_masks(clip, None)
    if masks is None:
        return
    marked = pictures.mask()
    for mask, expected in zip(masks, anomalous, strict=True):
        if mask.shape != marked.shape or (mask != (marked & expected)).mean() > MASK_ERROR:
            yield f"a mask of {clip.name} marks something else"


def _expected(split: str, *, clips: bool) -> Iterator[tuple[int, Numbers]]:
    """The pictures of a split, by the seed that they were drawn with."""
    normal = range(pictures.NUM_TRAIN)
    if clips:
        normal = [10 * clip + frame for clip in range(4) for frame in range(8)]
    if split == "train":
        yield from ((seed, pictures.picture(seed).astype(np.int16)) for seed in normal)
        return
    seeds = [*range(300, 308), *range(400, 408)] if clips else [*range(100, 103), *range(200, 203)]
    for seed in seeds:
        anomalous = seed // 100 == 2 or seed in {403, 404}
        yield seed, pictures.picture(seed, anomalous=anomalous).astype(np.int16)


def _nearest(frame: Numbers, wanted: dict[int, Numbers], tolerance: int) -> int:
    """The seed of the picture that a frame shows; -1 if none is within the tolerance."""
    if frame.shape != (pictures.HEIGHT, pictures.WIDTH):
        return -1
    apart = {seed: float(np.abs(frame - shown).mean()) for seed, shown in wanted.items()}
    best = min(apart, key=apart.__getitem__)
    return best if np.abs(frame - wanted[best]).max() <= tolerance else -1
