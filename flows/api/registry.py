"""The calls about what is registered: load it and score with it, decide, trace, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.platform import workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.console.overview import Detector
    from tasks.lineage.trace_records import Sightings, Trace
    from tasks.packaging.detector import Packaged
    from tasks.records import Decision


def load(reference: str, *, device: str = "auto", engine: str = "auto") -> Packaged:
    """A registered detector, verified to be the one that was registered.

    Args:
        reference: ``NAME`` for its champion, ``NAME@alias`` or ``NAME@version``.
        device: ``auto``, ``cpu`` or ``cuda``.
        engine: What scores on a processor: ``onnxruntime``, ``openvino``, ``torch`` or ``auto``.

    Returns:
        The detector. Its method ``predict`` takes what ``read`` returns, and gives ``image_score``,
        ``p_value``, ``anomalous`` and, with ``anomaly_map=True``, a score for every pixel.

    Raises:
        NotFoundError: If there is no such version.
        RegistryError: If it is lost or was changed.

    Example:
        >>> load("bottles@challenger").threshold  # doctest: +SKIP
    """
    workspace.configure()
    from tasks.registry import mlflow_store, model_versions

    version = model_versions.find(mlflow_store.client(), reference)
    return model_versions.load(version, device=device, engine=engine)


def read(source: str | Path | Sequence[str | Path], detector: Packaged) -> NDArray[np.uint8]:
    """Images or a clip, decoded as the detector's training images were.

    Args:
        source: An image, several of one size, a folder of frames, or a video.
        detector: What they are for.

    Returns:
        Frames (T, H, W) in gray or (T, 3, H, W) in colour.

    Raises:
        NotFoundError: If there is no such file or folder.
        InvalidInputError: If a file is damaged, or sizes differ.

    Example:
        >>> read("photo.png", load("bottles")).shape  # doctest: +SKIP
    """
    from tasks.serving.film import read as decode

    several = [source] if isinstance(source, str | Path) else source
    return decode([Path(each) for each in several], detector.preprocessing)


def registered() -> tuple[Detector, ...]:
    """Every registered model with its versions, figures and decisions; ``unseen models``.

    Raises:
        RegistryError: If the registry does not answer.
    """
    workspace.configure()
    from tasks.console.overview import detectors
    from tasks.registry import quick_reads

    return tuple(detectors(quick_reads.reader()))


def history(name: str) -> tuple[Decision, ...]:
    """Every decision about a registered model, the oldest first; ``unseen history``.

    Args:
        name: Of the registered model.

    Raises:
        NotFoundError: If there is no such model.
    """
    workspace.configure()
    from tasks.registry import history as decisions
    from tasks.registry import quick_reads

    client = quick_reads.reader()
    decisions.notice(name, client)
    return decisions.read(name, client)


def card(reference: str, folder: str | Path | None = None) -> str:
    """What one should know of a version before trusting it, as Markdown; ``unseen card``.

    Args:
        reference: ``NAME`` for its champion, ``NAME@alias`` or ``NAME@version``.
        folder: To write ``card.md`` to, and ``thumbnails.png`` of its data.

    Returns:
        Purpose, data, method, figures with intervals, thresholds, limits, drift, decisions, and how
        to reproduce it, as the record has them now.

    Raises:
        NotFoundError: If there is no such version.

    Example:
        >>> print(card("bottles"))  # doctest: +SKIP
    """
    workspace.configure()
    from tasks.registry import card as cards
    from tasks.registry import model_versions, quick_reads

    client = quick_reads.reader()
    version = model_versions.find(client, reference)
    if folder is None:
        return cards.write(client, version)
    return cards.save(client, version, Path(folder))


def promote(name: str, version: str | int, why: str, *, instead_of: int | None = None) -> Decision:
    """Let a version serve because you say so; ``unseen promote``.

    Args:
        name: Of the registered model.
        version: Number or alias.
        why: The reason, for the history.
        instead_of: The version that serves now; if another does by then, nothing is done.

    Raises:
        ConflictError: If another version serves by now, or this one does already.
        NotFoundError: If there is no such model or version.
    """
    workspace.configure()
    from tasks.registry.decisions import appoint

    return appoint(name, version, why, instead_of=instead_of)


def rollback(name: str, why: str, *, instead_of: int | None = None) -> Decision:
    """Let the version serve again that served before; ``unseen rollback``.

    Args:
        name: Of the registered model.
        why: The reason, for the history.
        instead_of: The version that serves now; if another does by then, nothing is done.

    Raises:
        ConflictError: If another version serves by now.
        NotFoundError: If there is no such model, or nothing served before.
    """
    workspace.configure()
    from tasks.registry.decisions import rollback as undo

    return undo(name, why, instead_of=instead_of)


def trace(reference: str) -> Trace:
    """Everything that a registered detector was made from; ``unseen trace``.

    Args:
        reference: ``NAME`` for its champion, ``NAME@alias`` or ``NAME@version``.

    Raises:
        NotFoundError: If there is no such version.
        RegistryError: If the registry does not answer.

    Example:
        >>> trace("bottles").data.version.git_commit  # doctest: +SKIP
    """
    workspace.configure()
    from tasks.lineage.trace import trace as walk

    return walk(reference)


def trace_file(path: str | Path) -> Sightings:
    """Which registered versions used a file; ``unseen trace --file``.

    Args:
        path: Any file; its bytes count, not its name.

    Raises:
        InvalidInputError: If it cannot be read.
    """
    workspace.configure()
    from tasks.lineage.trace_file import trace_file as search

    return search(Path(path))


def export(reference: str, folder: str | Path, kind: str = "onnx") -> dict[str, Any]:
    """Write a whole detector as one program that runs without this project; ``unseen export``.

    Args:
        reference: ``NAME``, ``NAME@alias`` or ``NAME@version``.
        folder: To be made.
        kind: ``onnx``, ``openvino`` or ``torch``.

    Returns:
        What its ``detector.json`` says.

    Raises:
        NotFoundError: If there is no such version.
    """
    workspace.configure()
    from tasks.serving.export import export as write

    return write(reference, Path(folder), kind)
