"""Inbox: kept pictures that somebody should look at, and what people say of them."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from models.errors import NotFoundError
from tasks.feedback import judgements
from tasks.feedback.judgements import UNDONE, Judgement, Standing
from tasks.platform import workspace
from tasks.registry.who import who as whoever
from tasks.serving import kept_pictures
from tasks.serving.monitoring import prediction_log
from tasks.serving.monitoring.prediction_log import LoggedPrediction

MOST_READ = 20_000
"""Predictions that are looked through, the newest first."""
MOST, CLOSEST = 500, 50
"""Pictures in an inbox, and those among them that raised no alarm and were closest to it."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A kept picture, or a clip, and what was answered of it."""

    picture: str
    """Like ``prediction``, ``files`` and ``version`` as ``Judgement`` has it."""
    prediction: str
    files: tuple[str, ...]
    version: int
    when: str
    """When it was scored; UTC, ISO 8601."""
    image_score: float
    """Of a clip, that of the frame that scored highest."""
    threshold: float
    p_value: float
    anomalous: bool
    """It raised an alarm."""
    opinions: tuple[Judgement, ...] = ()
    """What counts of it now; several if people differ."""


def inbox(name: str, most: int = MOST, closest: int = CLOSEST) -> tuple[Item, ...]:
    """Alarms, and what was closest to one, that nobody has judged or people differ about.

    Args:
        name: The registered model.
        most: Pictures at most.
        closest: Pictures without an alarm at most: those of the smallest p-values.

    Returns:
        The newest first; each picture once, as it was scored last.
    """
    held, known = kept_pictures.kept(name), judgements.standing(judgements.read(name))
    found: dict[str, Item] = {}
    for prediction in prediction_log.newest(name, MOST_READ):
        for item in items(prediction):
            about = known.get(item.picture)
            if item.picture in found or not held.issuperset(item.files):
                continue
            if about is None or about.disputed:
                found[item.picture] = replace(item, opinions=about.opinions if about else ())
    quiet = [item for item in found.values() if not item.anomalous]
    quiet.sort(key=lambda item: (item.p_value, item.threshold - item.image_score))
    far = {item.picture for item in quiet[closest:]}
    return tuple(item for item in found.values() if item.picture not in far)[:most]


def judge(
    name: str, prediction: str, verdict: str, kind: str = "", who: str | None = None
) -> Judgement:
    """Say what a kept picture shows; it then stays until it is absorbed, whatever else is kept.

    Args:
        name: The registered model.
        prediction: As an ``Item`` has it.
        verdict: One of ``judgements.VERDICTS``.
        kind: Of a defect.
        who: On whose behalf; git's user if None.

    Raises:
        InvalidInputError: If that is no verdict.
        NotFoundError: If there is no such prediction, or its picture is not kept any more.
    """
    judgements.check(verdict, kind)
    item = find(name, prediction)
    for digest in item.files:
        _hold(name, digest)
    said = Judgement(
        picture=item.picture,
        prediction=item.prediction,
        files=item.files,
        version=item.version,
        verdict=verdict,
        kind=kind if verdict == judgements.DEFECT else "",
        who=who or whoever(),
        when=now(),
    )
    judgements.append(name, said)
    return said


def undo(name: str, who: str | None = None) -> Judgement:
    """Take one's last judgement back; the picture is in the inbox again.

    Raises:
        NotFoundError: If there is none.
    """
    last = judgements.last_of(name, who or whoever())
    judgements.append(name, replace(last, verdict=UNDONE, kind="", when=now()))
    return last


def find(name: str, prediction: str) -> Item:
    """A picture by the prediction that was made of it.

    Raises:
        NotFoundError: If there is none, or several and none of them is named.
    """
    about = prediction_log.find(prediction.partition(":")[0])
    found = [one for one in about if one.model == name]
    known = list(items(found[0])) if found else []
    chosen = [item for item in known if item.prediction == prediction]
    if not chosen:
        names = ", ".join(item.prediction for item in known[:8]) or "none"
        raise NotFoundError(
            f"There is no picture {prediction!r} of {name}. Pictures of that request: {names}."
        )
    return chosen[0]


def items(prediction: LoggedPrediction) -> Iterator[Item]:
    """What can be judged of an answer: each still image by itself, a clip as a whole."""
    said, alone = prediction, len(prediction.files) == 1
    if said.is_clip:
        place = max(range(len(said.image_score)), key=lambda i: said.image_score[i])
        whole = hashlib.sha256("\n".join(said.files).encode()).hexdigest()
        picture = said.files[0] if alone else whole
        yield _item(said, place, said.request_id, said.files, picture, bool(said.anomalous))
        return
    for place, digest in enumerate(said.files):
        name = said.request_id if alone else f"{said.request_id}:{place}"
        yield _item(said, place, name, (digest,), digest, place in said.anomalous)


def picture_path(name: str, digest: str) -> Path | None:
    """Where the bytes of a picture are: kept, or held because it was judged; None if gone."""
    paths = (held_path(name, digest), kept_pictures.path_of(name, digest))
    return next((path for path in paths if path.exists()), None)


def held_path(name: str, digest: str) -> Path:
    """Where a picture that was judged waits to be absorbed."""
    return workspace.home() / judgements.FOLDER / name / digest


def pending(name: str) -> dict[str, Standing]:
    """What counts of each picture that is judged to be something, by its digest."""
    known = judgements.standing(judgements.read(name))
    return {key: each for key, each in known.items() if each.last.verdict != judgements.SKIP}


def listed(item: Item) -> dict[str, object]:
    """An item as plain JSON data."""
    return asdict(item)


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _item(
    said: LoggedPrediction,
    place: int,
    prediction: str,
    files: tuple[str, ...],
    picture: str,
    anomalous: bool,  # noqa: FBT001
) -> Item:
    return Item(
        picture=picture,
        prediction=prediction,
        files=files,
        version=said.version,
        when=said.when,
        image_score=said.image_score[place],
        threshold=said.threshold,
        p_value=said.p_value[place],
        anomalous=anomalous,
    )


def _hold(name: str, digest: str) -> None:
    held, kept = held_path(name, digest), kept_pictures.path_of(name, digest)
    if held.exists():
        return
    held.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):
        os.link(kept, held)
        return
    try:
        shutil.copyfile(kept, held)  # a file system without links
    except FileNotFoundError as error:
        held.unlink(missing_ok=True)
        raise NotFoundError(
            f"The picture {digest[:12]} is not kept any more: newer ones took its place. Give "
            "'unseen serve' more room with --keep-mib."
        ) from error
