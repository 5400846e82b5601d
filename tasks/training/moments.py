"""Moments of the normal clips, kept between runs: a refit computes what changed and nothing else.

Detectors whose statistics add up (``models.contracts.Additive``) are fitted clip by clip. Each fit
logs the moments of all clips together and, as far as they are small, those of each clip. A later
fit with the same encoder, settings, code and device starts from a finished run, its parent: it
takes in the clips that were added and takes away those that were removed. A clip is one only if
name, bytes and extent are equal; a still image is a clip of one frame. Thresholds never come from
the parent: calibration images are always scored again.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import mlflow
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor

from models.contracts import Additive
from models.errors import DataError, InvalidInputError, PrecisionLossError
from models.functional.gaussian import Moments
from tasks.data import snapshots
from tasks.data.snapshots import Clip, Snapshot
from tasks.packaging import config_json, tensors
from tasks.packaging.preprocessing import Levels
from tasks.platform import progress, source_digests
from tasks.records import DataVersion, Training
from tasks.registry.caching import is_refreshing
from tasks.registry.tags import MOMENTS_BASIS
from tasks.training import devices, inputs, moments_store
from tasks.training.batches import Batches, identity
from tasks.training.moments_store import Parent, Part


@dataclass(kw_only=True)
class Fitted:
    """Moments of a set of clips, and how they came about."""

    total: Moments
    parts: dict[str, Part]
    computed: dict[str, Moments]
    """Moments of single clips that were computed now, by identity; none if they are large."""
    parent: Parent | None = None
    why: str = "There is no run with the same encoder, settings, code and device."
    """Why there is no parent."""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    updates: int = 0

    def describe(self) -> dict[str, Any]:
        """For the lineage: digest, parent, and the difference from it."""
        parent = self.parent
        return {
            "digest": moments_store.digest(self.total),
            "num_clips": len(self.parts),
            "parent": parent
            and {"run_id": parent.run_id, "digest": parent.digest, "data": parent.data.digest},
            "added": list(self.added),
            "removed": list(self.removed),
            "updates": self.updates,
            "why": "" if parent else self.why,
        }


class Source:
    """Moments of clips, by one model.

    Args:
        model: What makes moments of images.
        training: How images are read.
        fabric: Device.
        usage: Counts the images.
    """

    def __init__(
        self, model: Additive, training: Training, fabric: Fabric, usage: devices.Usage
    ) -> None:
        self.model, self.training, self.fabric, self.usage = model, training, fabric, usage

    def images_of(self, clip: Clip) -> int:
        """Inputs that a clip gives."""
        return max(len(clip.frames) - self.training.window + 1, 0)

    def moments(self, snapshot: Snapshot, clip: Clip) -> Moments:
        """Moments of one clip; always in the same batches, so always to the last bit the same."""
        if not self.images_of(clip):
            return self.model.moments([], fabric=self.fabric)
        batches = Batches(snapshot, [clip], **inputs.reading(self.training))
        return self.model.moments(self.usage.count(batches), fabric=self.fabric)

    def each(self, snapshot: Snapshot, clips: Mapping[str, Clip]) -> dict[str, Moments]:
        """Moments of each clip, by the key that it has."""
        shown = progress.bar(clips.items(), total=len(clips), description="Moments of clips")
        return {key: self.moments(snapshot, clip) for key, clip in shown}

    def together(self, snapshot: Snapshot, clips: Mapping[str, Clip]) -> Moments:
        """Moments of all clips in the memory of one, from the same batches as those of each."""
        shown = progress.bar(clips.values(), total=len(clips), description="Moments of clips")
        filled = (clip for clip in shown if self.images_of(clip))
        reading = inputs.reading(self.training)
        batches = chain.from_iterable(Batches(snapshot, [clip], **reading) for clip in filled)
        return self.model.moments(self.usage.count(batches), fabric=self.fabric)

    def compute(
        self, snapshot: Snapshot, clips: Mapping[str, Clip], num: int
    ) -> tuple[Moments, dict[str, Moments]]:
        """Moments of all clips together; and of each, if those of ``num`` clips are small."""
        first = next((key for key, clip in clips.items() if self.images_of(clip)), None)
        if first is None:
            return self.model.moments([]), {}
        found = self.moments(snapshot, clips[first])
        rest = {key: clip for key, clip in clips.items() if key != first}
        if moments_store.nbytes(found) * num <= moments_store.KEPT_BYTES:
            each = {first: found, **self.each(snapshot, rest)}
            return Moments.combined(each.values(), len(found.mean)), each
        if rest:
            found.merge(self.together(snapshot, rest))
        return found, {}

    def basis(self, levels: Levels | None = None) -> str:
        """Digest of all that the moments of a clip depend on, besides the clip.

        Args:
            levels: Range of its images of more than 8 bits.
        """
        model: Any = self.model
        described = {
            "detector": config_json.to_json(model.config),
            "encoder": config_json.to_json(model.encoder.config),
            "reading": inputs.reading(self.training),
            "levels": levels,
            "device": devices.name_of(self.fabric.device),
            "code": source_digests.version(type(model), type(model.encoder), Source),
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
        digest.update(tensors.content(model.encoder.state_dict()))
        return digest.hexdigest()


def fit(
    model: Additive,
    snapshot: Snapshot,
    clips: Sequence[Clip],
    held_out: Iterable[Tensor],
    source: Source,
) -> Fitted:
    """Fit a detector on clips, from a parent's moments if there is one, and log the moments.

    Args:
        model: To be fitted.
        snapshot: The data version.
        clips: Normal clips to train on.
        held_out: Images that set the thresholds.
        source: Of moments, by the same model.

    Raises:
        DataError: If the data cannot be read.
        TrainingError: If the features are constant or not finite.
    """
    run = mlflow.active_run()
    assert run is not None
    wanted = {identity(clip): clip for clip in clips}
    basis = source.basis(snapshot.levels)
    known = moments_store.find(basis, run.info.experiment_id)
    found = gather(snapshot, wanted, source, [] if is_refreshing() else known)
    mlflow.set_tag(MOMENTS_BASIS, basis)
    _log(found, snapshot.version, run.info.run_id)
    model.fit_moments(
        found.total, source.usage.count(held_out), fabric=source.fabric, progress=progress.bar
    )
    return found


def gather(
    snapshot: Snapshot, wanted: Mapping[str, Clip], source: Source, known: Sequence[Parent]
) -> Fitted:
    """Moments of the wanted clips, by the cheapest exact way.

    Args:
        snapshot: The data version.
        wanted: Clips by identity.
        source: Of moments.
        known: Runs to start from.
    """
    why, full = Fitted.why, sum(map(source.images_of, wanted.values()))
    cheapest = min(known, key=lambda parent: _cost(parent, wanted, source), default=None)
    if cheapest and _cost(cheapest, wanted, source) < full:
        try:
            return _update(cheapest, snapshot, wanted, source)
        except (DataError, InvalidInputError, PrecisionLossError) as error:
            why = str(error)
    elif cheapest:
        why = "Most images differ from those of every earlier run."
    total, computed = source.compute(snapshot, wanted, len(wanted))
    parts = {key: _part(clip, source) for key, clip in wanted.items()}
    return Fitted(total=total, parts=parts, computed=computed, why=why)


def _cost(parent: Parent, wanted: Mapping[str, Clip], source: Source) -> int:
    """Images to read for a refit from this parent."""
    added = sum(source.images_of(wanted[key]) for key in wanted.keys() - parent.parts.keys())
    gone = [parent.parts[key] for key in parent.parts.keys() - wanted.keys()]
    return added + sum(part.num_images for part in gone if not part.held_by)


def _update(
    parent: Parent, snapshot: Snapshot, wanted: Mapping[str, Clip], source: Source
) -> Fitted:
    new = {key: clip for key, clip in wanted.items() if key not in parent.parts}
    gone = {key: part for key, part in parent.parts.items() if key not in wanted}
    total = Moments.from_tensors(parent.total.tensors())
    removed = Moments.combined(_removed(parent, gone, source), len(total.mean))
    added, computed = source.compute(snapshot, new, len(wanted))
    if added.count:
        total.merge(added)
    total.subtract(removed)
    parts = {key: parent.parts.get(key) or _part(clip, source) for key, clip in wanted.items()}
    return Fitted(
        total=total,
        parts=parts,
        computed=computed,
        parent=parent,
        added=tuple(clip.name for clip in new.values()),
        removed=tuple(part.name for part in gone.values()),
        updates=parent.updates + bool(new or gone),
    )


def _removed(parent: Parent, gone: Mapping[str, Part], source: Source) -> Iterable[Moments]:
    """Moments of removed clips: as they were kept, or from their bytes in the old version."""
    lacking = []
    for key, part in gone.items():
        try:
            yield moments_store.stored(key, part)
        except moments_store.LOST:
            lacking.append(key)
    if lacking:
        before = snapshots.open_version(parent.data)
        clips = inputs.normal_clips(before, source.training)
        known = {identity(clip): clip for clip in (*before.clips("train"), *clips[0])}
        for key in lacking:
            if key not in known:
                raise DataError(f"Clip {gone[key].name} is no longer as it was in {parent.data}.")
        yield source.together(before, {key: known[key] for key in lacking})


def _part(clip: Clip, source: Source) -> Part:
    return Part(name=clip.name, num_images=source.images_of(clip))


def _log(found: Fitted, version: DataVersion, run_id: str) -> None:
    """Log the moments, and those of each clip that was computed now."""
    plain = tensors.plain(found.total.tensors())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_file(plain, folder / "total.safetensors")
        if found.computed:
            parts = {
                f"{key}.{name}": value
                for key, part in found.computed.items()
                for name, value in tensors.plain(part.tensors()).items()
            }
            save_file(parts, folder / "parts.safetensors")
            for key in found.computed:
                found.parts[key] = Part(**{**asdict(found.parts[key]), "held_by": run_id})
        described = {
            "digest": moments_store.digest(found.total),
            "data": asdict(version),
            "updates": found.updates,
            "clips": {key: asdict(part) for key, part in found.parts.items()},
        }
        (folder / "clips.json").write_text(json.dumps(described))
        mlflow.log_artifacts(temporary, moments_store.FOLDER)
