"""Absorb: judged pictures become a new version of the data, and can be forgotten again.

A normal picture goes to ``train/good``, every fifth, by its digest, to ``test/good``; a defect to
``test/<kind>``. Pictures that show nearly the same go where the first of them went: else what was
learned would be asked for again.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConflictError, DataError, NotFoundError
from tasks.data import duplicates, dvc_cache, images, judged, versions, videos
from tasks.data.amend import amend
from tasks.data.images import UnreadableError
from tasks.data.ingest import ingest
from tasks.data.judged import NOTE, Judged
from tasks.data.kinds import NORMAL
from tasks.data.versions import Changes, Entry
from tasks.feedback import inbox, judgements
from tasks.feedback.judgements import FORGOTTEN, Judgement, Standing
from tasks.records import DataVersion
from tasks.registry import mlflow_store, model_versions
from tasks.registry.tags import DATA_NAME
from tasks.registry.who import who as whoever
from tasks.training.retrain_turn import OccupiedError, holder, turn

TEST_SHARE = 5
"""One of so many normal pictures tests."""


@dataclass(frozen=True, kw_only=True)
class Absorbed:
    """What was brought into the data, or taken out of it."""

    version: DataVersion
    changes: Changes
    pictures: tuple[Judged, ...]
    """That were absorbed, or forgotten."""
    known: int = 0
    """Judged pictures whose very bytes were in the data before."""
    disputed: tuple[str, ...] = ()
    """Predictions about which people differ: not absorbed."""
    lost: tuple[str, ...] = ()
    """Predictions whose pictures are gone."""


def absorb(name: str) -> Absorbed:
    """Bring what was judged normal or a defect into the data that a model learns from, once.

    Args:
        name: The registered model.

    Raises:
        NotFoundError: If there is no such model or data set.
        ConflictError: If the model is being retrained.
        DataError: If no version can be made; then nothing has changed.
    """
    dataset = _dataset(name)
    with _alone(name):
        version = ingest.fn(dataset)
        entries = versions.entries(version)
        noted = judged.of(entries)
        waiting = _waiting(name, {each.picture for each in noted})
        fresh, known, lost = _usable(name, waiting, {entry.md5 for entry in entries})
        disputed = tuple(each.last.prediction for each in waiting if each.disputed)
        near = _near(fresh, noted, versions.folder() / dataset)
        pictures = tuple(_picture(name, each, near, paths[0]) for each, paths in fresh)
        add = {
            relpath: path
            for picture, (_, paths) in zip(pictures, fresh, strict=True)
            for relpath, path in _places(picture.path, paths)
        }
        changes = Changes((), (), ())
        if add:
            note = {NOTE: judged.write([*noted, *pictures])}
            version, changes = amend(dataset, add, notes=note)
    return Absorbed(
        version=version,
        changes=changes,
        pictures=pictures,
        known=known,
        disputed=disputed,
        lost=lost,
    )


def forget(name: str, what: str, who: str | None = None) -> Absorbed:
    """Take an absorbed picture out of the data again; it is not absorbed anew unless judged anew.

    Args:
        name: The registered model.
        what: A file, its path in the data set, or the prediction that it came from.
        who: On whose behalf; git's user if None.

    Raises:
        NotFoundError: If no such picture was absorbed, or there is no such model.
        ConflictError: If the model is being retrained.
        DataError: If no version can be made; then nothing has changed.
    """
    dataset = _dataset(name)
    with _alone(name):
        entries = versions.entries(ingest.fn(dataset))
        noted = judged.of(entries)
        gone = tuple(each for each in noted if _is_meant(each, what, entries))
        if not gone:
            raise NotFoundError(
                f"{what} must be a picture that was absorbed into {dataset}, or the prediction it "
                f"came from, and is neither; {len(noted)} were absorbed. 'unseen trace {name}' "
                "lists them; any other file is deleted in data/ and ingested."
            )
        left = [each for each in noted if each not in gone]
        files = [path for each in gone for path in _files_of(each, entries)]
        note = {NOTE: judged.write(left)} if left else {}
        removed = files if left else [*files, NOTE]
        version, changes = amend(dataset, {}, removed, note)
        for each in gone:
            judgements.append(name, _forgotten(each, who or whoever()))
    return Absorbed(version=version, changes=changes, pictures=gone)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Nobody retrains the model meanwhile.

    Raises:
        ConflictError: If somebody does.
    """
    try:
        with turn(name, "refuse"):
            yield
    except OccupiedError as error:
        raise ConflictError(
            f"The data of {name} must rest while it is retrained, and {holder(name)} is at it. "
            "Say it again when that is done."
        ) from error


def _dataset(name: str) -> str:
    """The data set that the champion, else the newest version, was trained on."""
    client = mlflow_store.client()
    number = model_versions.champion(client, name)
    known = model_versions.versions(client, name)
    chosen = [each for each in known if number in (None, int(each.version))]
    dataset = max(chosen, key=lambda each: int(each.version)).tags.get(DATA_NAME) if chosen else ""
    if not dataset:
        raise NotFoundError(f"{name} must have a version that says what it was trained on.")
    return str(dataset)


def _waiting(name: str, absorbed: set[str]) -> list[Standing]:
    found = inbox.pending(name)
    return [each for picture, each in sorted(found.items()) if picture not in absorbed]


Fresh = list[tuple[Standing, list[Path]]]


def _usable(
    name: str, waiting: Sequence[Standing], md5s: set[str]
) -> tuple[Fresh, int, tuple[str, ...]]:
    """Pictures to absorb with their files; how many are known already; those that are gone."""
    fresh: Fresh = []
    known, lost = 0, []
    for each in waiting:
        if each.disputed:
            continue
        paths = [inbox.picture_path(name, digest) for digest in each.last.files]
        there = [path for path in paths if path and _sha256(path) in each.last.files]
        if len(there) < len(paths):
            lost.append(each.last.prediction)
        elif {dvc_cache.file_md5(path) for path in there} <= md5s:
            known += 1
        else:
            fresh.append((each, there))
    return fresh, known, tuple(lost)


def _picture(name: str, each: Standing, near: Mapping[str, str], first: Path) -> Judged:
    """Where a picture goes, and where it comes from."""
    said = each.last
    defect = said.verdict == judgements.DEFECT
    where = f"test/{said.kind}" if defect else f"{near[said.picture]}/{NORMAL}"
    suffix = _suffix(first) if len(said.files) == 1 else ""
    return Judged(
        path=f"{where}/judged-{said.picture[:16]}{suffix}",
        picture=said.picture,
        prediction=said.prediction,
        model=name,
        version=said.version,
        verdict=said.verdict,
        kind=said.kind,
        who=", ".join(dict.fromkeys(one.who for one in each.opinions)),
        when=said.when,
    )


def _places(path: str, paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    if len(paths) == 1:
        yield path, paths[0]
        return
    for number, each in enumerate(paths):
        yield f"{path}/{number:06}{_suffix(each)}", each


def split_of(picture: str) -> str:
    """``test`` for every fifth digest, else ``train``."""
    return "train" if int(picture, 16) % TEST_SHARE else "test"


def _near(fresh: Fresh, noted: Sequence[Judged], folder: Path) -> dict[str, str]:
    """Split of each normal picture, by its digest: that of the first that shows nearly the same."""
    normal = [(each.last.picture, paths) for each, paths in fresh if not each.last.kind]
    before = [(each.path, folder / each.path) for each in noted if not each.kind]
    stills = [(split_of(key), paths[0]) for key, paths in normal if len(paths) == 1]
    known = [(path.partition("/")[0], file) for path, file in before if file.is_file()]
    prints, splits = [], []
    for split, path in (*known, *stills):
        print_ = _fingerprint(path)
        if print_ is not None:
            prints.append(print_)
            splits.append((split, path))
    first = duplicates.groups(len(prints), duplicates.pairs(prints))
    chosen = {path: splits[root][0] for (_, path), root in zip(splits, first, strict=True)}
    return {key: chosen.get(paths[0], split_of(key)) for key, paths in normal}


def _fingerprint(path: Path) -> duplicates.Fingerprint | None:
    try:
        return duplicates.fingerprint(images.read(path, 1))
    except UnreadableError:  # a video; what is damaged the validation tells
        return None


def _suffix(path: Path) -> str:
    """What the bytes of a picture say it is."""
    with path.open("rb") as file:
        start = file.read(16)
    if images.is_image(start):
        return f".{images.opened(path).format}".lower().replace("jpeg2000", "jp2")
    if videos.is_video(start):
        return ".avi" if start.startswith(videos.AVI) else ".mp4"
    raise DataError(f"{path} must be an image or a video, and is neither. Judge it as 'skip'.")


def _is_meant(each: Judged, what: str, entries: Sequence[Entry]) -> bool:
    if what in (each.prediction, each.path, each.picture):
        return True
    path = Path(what)
    return path.is_file() and dvc_cache.file_md5(path) in {
        entry.md5 for entry in entries if entry.relpath in _files_of(each, entries)
    }


def _files_of(each: Judged, entries: Sequence[Entry]) -> list[str]:
    paths = (entry.relpath for entry in entries)
    return [path for path in paths if path == each.path or path.startswith(f"{each.path}/")]


def _forgotten(each: Judged, who: str) -> Judgement:
    return Judgement(
        picture=each.picture,
        prediction=each.prediction,
        files=(each.picture,),
        version=each.version,
        verdict=FORGOTTEN,
        who=who,
        when=inbox.now(),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
