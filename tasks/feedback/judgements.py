"""Judgements: what people say that kept pictures show, who and when; kept for good, in order.

One line of JSON for each, in ``.unseen/judgements/NAME.jsonl``, which is only appended to. What
counts of a picture is the last opinion of each person; two people of two opinions are a dispute,
and what is disputed is brought into no data.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from models.errors import InvalidInputError, NotFoundError
from tasks.data.kinds import is_normal
from tasks.data.layout import LIKE_NORMAL
from tasks.platform import workspace

NORMAL, DEFECT, SKIP = "normal", "defect", "skip"
VERDICTS = (NORMAL, DEFECT, SKIP)
FOLDER = "judgements"
"""Below ``.unseen``: what was said, and the pictures that it was said of."""
UNDONE, FORGOTTEN = "undone", "forgotten"
"""In the place of a verdict: the last one of that person does not count; none does so far."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What somebody said of one picture."""

    picture: str
    """SHA-256 of its file; of a clip of several files, that of their digests."""
    prediction: str
    """Request id under which it was scored, ``:`` and its place if there were several pictures."""
    files: tuple[str, ...]
    """SHA-256 of each file."""
    version: int
    """Of the model that scored it."""
    verdict: str
    """One of ``VERDICTS``, ``UNDONE`` or ``FORGOTTEN``."""
    kind: str = ""
    """Of a defect."""
    who: str
    when: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What counts of a picture now."""

    opinions: tuple[Judgement, ...]
    """The last of each person, oldest first, without skips unless there are only skips."""

    @property
    def last(self) -> Judgement:
        """The newest opinion."""
        return self.opinions[-1]

    @property
    def disputed(self) -> bool:
        """Whether people differ."""
        return len({(each.verdict, each.kind) for each in self.opinions}) > 1


def check(verdict: str, kind: str) -> None:
    """Refuse what is no verdict.

    Raises:
        InvalidInputError: If there is no such verdict, or no such kind of defect can be.
    """
    if verdict not in VERDICTS:
        raise InvalidInputError(f"A verdict must be one of {', '.join(VERDICTS)}, got {verdict!r}.")
    if verdict != DEFECT:
        return
    plain = kind.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum() and kind[0].isalnum() and len(kind) <= 64):
        raise InvalidInputError(
            "The kind of a defect must be letters, digits, '.', '_' and '-', at most 64, got "
            f"{kind!r}. It becomes a folder of test/."
        )
    if is_normal(kind) or kind.lower() in LIKE_NORMAL:
        raise InvalidInputError(
            f"The kind {kind!r} names normal pictures, and a defect was meant. Say 'normal', or "
            "name the defect."
        )


def append(name: str, judgement: Judgement) -> None:
    """Keep a judgement; it is on the disk when this returns."""
    path = _path(name)
    path.parent.mkdir(exist_ok=True)
    with FileLock(path.with_suffix(".lock")), path.open("ab") as file:
        if file.tell() and path.read_bytes()[-1:] != b"\n":
            file.write(b"\n")  # the last one was cut off by a crash
        file.write(json.dumps(asdict(judgement)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(name: str) -> tuple[Judgement, ...]:
    """All judgements of a model's pictures, oldest first."""
    try:
        lines = _path(name).read_text().splitlines()
    except FileNotFoundError:
        return ()
    return tuple(found for line in lines if (found := _parsed(line)))


def last_of(name: str, who: str) -> Judgement:
    """The newest judgement of a person that still counts.

    Raises:
        NotFoundError: If there is none.
    """
    counting: list[Judgement] = []
    for each in read(name):
        if each.verdict == FORGOTTEN:
            counting = [one for one in counting if one.picture != each.picture]
        elif each.who == who and each.verdict != UNDONE:
            counting.append(each)
        elif each.who == who:
            place = max(i for i, one in enumerate(counting) if one.picture == each.picture)
            del counting[place]
    if not counting:
        raise NotFoundError(f"There is no judgement of {who} about {name} left to undo.")
    return counting[-1]


def standing(judgements: Iterable[Judgement]) -> dict[str, Standing]:
    """What counts of each picture, by its digest; nothing of those whose judgements were undone."""
    said: dict[str, dict[str, list[Judgement]]] = defaultdict(lambda: defaultdict(list))
    for each in judgements:
        people = said[each.picture]
        if each.verdict == FORGOTTEN:
            people.clear()
        elif each.verdict != UNDONE:
            people[each.who].append(each)
        elif people[each.who]:
            people[each.who].pop()
    found = {}
    for picture, people in said.items():
        last = sorted((one[-1] for one in people.values() if one), key=lambda each: each.when)
        opinions = tuple(each for each in last if each.verdict != SKIP) or tuple(last)
        if opinions:
            found[picture] = Standing(opinions=opinions)
    return found


def _parsed(line: str) -> Judgement | None:
    try:
        known = json.loads(line)
        return Judgement(**{**known, "files": tuple(known["files"])})
    except (ValueError, TypeError, KeyError):  # cut off by a crash
        return None


def _path(name: str) -> Path:
    return workspace.home() / FOLDER / f"{name}.jsonl"
