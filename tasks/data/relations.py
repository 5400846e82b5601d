"""What a file of a data version is in relation to the others: frames, masks, twins, near copies."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tasks.data import duplicates, layout
from tasks.data.duplicates import Fingerprint
from tasks.data.kinds import is_normal
from tasks.data.rows import Row


def compare(rows: Sequence[Row], prints: Mapping[str, Fingerprint]) -> list[tuple[str, str]]:
    """Fill in which still images show nearly the same as others.

    Args:
        rows: All files.
        prints: Fingerprints of still images, by path.

    Returns:
        Paths of all such pairs within ``train``.
    """
    known = {row.path: row for row in rows if row.path in prints}
    paths = list(known)
    copies = []
    for left, right in duplicates.pairs([prints[path] for path in paths]):
        first, second = known[paths[left]], known[paths[right]]
        if first.split != second.split and first.md5 != second.md5:
            first.near, second.near = first.near or second.path, second.near or first.path
        elif first.split == second.split == "train":
            second.copy = second.copy or first.path
            copies.append((first.path, second.path))
    return copies


def relate(rows: Sequence[Row]) -> None:
    """Fill in what a file can only have in relation to others."""
    pictures = [row for row in rows if row.role in ("image", "video")]
    clips = defaultdict(list)
    for row in pictures:
        if row.role == "image" and row.clip:
            clips[row.split, row.clip].append(row)
        elif row.role == "video":
            row.clip_length = row.num_frames
    for frames in clips.values():
        _relate_frames(frames)
    for row in rows:
        if row.role == "roi":
            sizes = {each.size for each in pictures if each.size}
            row.size_of_owner = next(iter(sizes)) if len(sizes) == 1 else "of different images"
    _find_rivals(pictures)
    _find_twins(pictures)
    truth = [row for row in rows if row.role in ("mask", "labels")]
    tests = [row for row in pictures if row.split == "test"]
    _find_owners(truth, tests)
    _find_truth(truth, tests)


def _relate_frames(frames: list[Row]) -> None:
    frames.sort(key=lambda row: layout.natural(row.stem))
    for row, number in zip(frames, layout.numbers([row.stem for row in frames]), strict=True):
        row.frame = number
    formats = Counter(row.format for row in frames if row.format)
    for before, row in zip([None, *frames], frames, strict=False):
        row.clip_length = len(frames)
        row.format_of_clip = formats.most_common(1)[0][0] if formats else None
        if before and before.frame is not None and row.frame is not None:
            row.step = row.frame - before.frame


def _find_rivals(pictures: Sequence[Row]) -> None:
    members = defaultdict(list)
    for row in pictures:
        members[row.split, row.clip or f"{row.kind}/{row.stem}"].append(row)
    for rows in members.values():
        alone = [row for row in rows if row.role == "video" or row.clip is None]
        for row in alone if len(rows) > 1 else ():
            row.rival = next(other.path for other in rows if other is not row)


def _find_twins(pictures: Sequence[Row]) -> None:
    other = {"train": "test", "test": "train"}
    first = {(row.split, row.md5): row.path for row in reversed(pictures)}
    for row in pictures:
        row.twin = first.get((other[row.split or ""], row.md5))


def _find_owners(truth: Sequence[Row], tests: Sequence[Row]) -> None:
    images = {(row.kind, row.clip, row.stem): row for row in tests if row.role == "image"}
    clips = {row.clip: row for row in tests if row.clip}
    for row in truth:
        clip = clips.get(row.clip or "")
        if row.role == "labels":
            row.belongs_to = clip.clip if clip else None
            continue
        owner = images.get((row.kind, row.clip, row.stem))
        if clip and clip.role == "video" and (row.frame or 0) < (clip.num_frames or 0):
            owner = clip
        if owner:
            row.belongs_to = owner.path
            row.size_of_owner = owner.size


def _find_truth(truth: Sequence[Row], tests: Sequence[Row]) -> None:
    kinds = {row.kind for row in truth if not is_normal(row.kind or "")}
    owners = {row.belongs_to for row in truth} | {row.clip for row in truth}
    for row in tests:
        if row.kind in kinds:
            row.has_truth = (row.clip or row.path) in owners
