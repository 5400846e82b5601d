"""The calls that run flows: bring data in, fit, retrain, adapt, monitor, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from tasks.platform import workspace

if TYPE_CHECKING:
    from tasks.lineage.reproduction import Reproduction
    from tasks.packaging.detector import Packaged
    from tasks.records import DataVersion, Decision, Monitored


class Changed(TypedDict, total=False):
    """What to change in a recipe; ``flows.recipes.asked.Options`` says what each is."""

    detector: str | None
    encoder: str | None
    pretext: str | None
    image_size: tuple[int, int] | None
    settings: tuple[str, ...]
    device: str | None
    backbone: str | None
    seed: int | None
    devices: int | None


class Retraining(Changed, total=False):
    """What else ``retrain`` takes; the flow ``flows.retrain.retrain`` says what each is."""

    keep_encoder: bool
    if_busy: str
    shards: int
    scheduler: str | None
    again: bool
    refresh: bool


class Adapting(TypedDict, total=False):
    """What else ``adapt`` takes."""

    device: str | None
    seed: int | None
    steps: int | None


def ingest(
    source: str | Path,
    name: str | None = None,
    *,
    origin: str | Path | None = None,
    commit: bool = False,
    push: bool = False,
    discard: bool = False,
) -> DataVersion:
    """Bring a folder or a well-known set in and version it with DVC; ``unseen ingest``.

    Args:
        source: A folder laid out as ``train/good``, ``test/good``, ``test/KIND``, or flat; or the
            name of a set that ``unseen datasets`` lists.
        name: Of the data set; needed for a folder.
        origin: Folder to take a well-known set from, instead of the network.
        commit: Commit ``data.dvc`` in git at once.
        push: Copy the bytes to DVC's remote.
        discard: Take what ``data.dvc`` names, and lose edits in ``data/``.

    Returns:
        The data version.

    Raises:
        DataError: If it cannot be brought in.
        InvalidInputError: If a folder comes without a name.

    Example:
        >>> ingest("incoming/bottles", "bottles").digest  # doctest: +SKIP
    """
    workspace.configure()
    from tasks.data.ingest import ingest_folder

    version, _ = ingest_folder(
        str(source), name=name, origin=_path(origin), commit=commit, push=push, discard=discard
    )
    return version


def fit(
    recipe: str | None = None,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    dataset: str | None = None,
    **options: Unpack[Changed],
) -> Packaged:
    """Train a detector and look at it first: nothing is evaluated, registered or promoted.

    ``retrain`` with the same arguments then computes nothing of it again, and registers it.

    Args:
        recipe: As ``retrain`` takes it, like all that follows.
        data: Folder to bring in first.
        name: Of the model that it is to be a version of.
        dataset: Of the data set.
        **options: ``detector``, ``encoder``, ``pretext``, ``image_size``, ``settings``, ``device``,
            ``backbone``, ``seed`` and ``devices``.

    Returns:
        The detector as a server would load it; see ``load``.

    Raises:
        DataValidationError: If the data fail an expectation.
        NotFoundError: If there is no such recipe, detector, encoder or pretext task.

    Example:
        >>> detector = fit(data="incoming/bottles", name="bottles")  # doctest: +SKIP
    """
    workspace.configure()
    from flows.recipes.asked import Options
    from flows.run import run
    from tasks.packaging import package
    from tasks.registry import model_versions

    given = Options(**options)
    trained = run("fit", recipe, _path(data), name=name, dataset=dataset, options=given).result
    return package.load(model_versions.folder(trained.model_uri), device="auto", engine="auto")


def retrain(
    recipe: str | None = None,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    dataset: str | None = None,
    **options: Unpack[Retraining],
) -> Decision:
    """Train a challenger and promote it if it is not worse than the champion; ``unseen retrain``.

    Args:
        recipe: Name of an embedded recipe, ``path/to/file.py:name`` or ``file.toml``; chosen for
            the data if a name or a data set is given, else ``walkway``.
        data: Folder to bring in first; needs ``name``.
        name: Of the registered model, and of the data set unless ``dataset``.
        dataset: A data set that is here already.
        **options: As the flow ``flows.retrain.retrain`` takes them: ``detector``, ``encoder``,
            ``image_size``, ``settings``, ``device``, ``seed``, ``again`` and so on.

    Returns:
        What was decided about the challenger, and why.

    Raises:
        DataValidationError: If the data fail an expectation; nothing was trained.
        NotFoundError: If there is no such recipe, detector, encoder or pretext task.
        InvalidInputError: If a folder comes without a name, or a setting makes no sense.

    Example:
        >>> decision = retrain(data="incoming/bottles", name="bottles")  # doctest: +SKIP
        >>> decision.action, decision.version, decision.why
    """
    workspace.configure()
    from flows.run import run

    decision: Decision = run(
        "retrain", recipe, _path(data), name=name, dataset=dataset, **options
    ).result
    return decision


def adapt(
    source: str, name: str, data: str | Path | None = None, **options: Unpack[Adapting]
) -> Decision:
    """Carry a detector over to another camera without labels of it; ``unseen adapt``.

    Args:
        source: The detector to start from: ``NAME``, ``NAME@alias`` or ``NAME@version``.
        name: Of the other camera's data set and of its model.
        data: Folder to bring in as that data set first.
        **options: ``device``, ``seed`` and ``steps``.

    Returns:
        What was decided about the challenger, and why.

    Raises:
        NotFoundError: If there is no such version.
        DataValidationError: If the data fail an expectation.
    """
    workspace.configure()
    from flows.run import run

    decision: Decision = run("adapt", source, name, _path(data), **options).result
    return decision


def monitor(name: str, url: str | None = None) -> Monitored:
    """Whether what the champion is shown is still like what it learned; ``unseen monitor``.

    Args:
        name: Of the registered model.
        url: Server to ask; else what ``unseen serve`` wrote down here is read.

    Raises:
        NotFoundError: If there is no such model, or it has no champion.
    """
    workspace.configure()
    from flows.run import run

    found: Monitored = run("monitor", name, url).result
    return found


def reproduce(reference: str, *, tensor: float = 1e-3, metric: float = 0.01) -> Reproduction:
    """Train a registered version again from its record, and compare; ``unseen reproduce``.

    Args:
        reference: ``NAME``, ``NAME@alias`` or ``NAME@version``.
        tensor: Difference of a tensor that is tolerated, relative to its largest magnitude.
        metric: Difference of a metric that is tolerated; absolute, relative beyond 1.

    Raises:
        NotFoundError: If there is no such version.
        DataError: If its data cannot be restored.
    """
    workspace.configure()
    from flows.reproduce import reproduce as train_again
    from tasks.lineage.compare_models import Tolerance

    return train_again(reference, Tolerance(tensor=tensor, metric=metric))


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
