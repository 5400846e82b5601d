"""Old objects in DVC's cache that no registered version and no branch or tag of git refers to."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mlflow.entities import Run

from models.errors import NotFoundError
from tasks.data import dvc_cache
from tasks.housekeeping.references import References
from tasks.housekeeping.stale import Kind, Stale
from tasks.platform import git, workspace
from tasks.registry.tags import DATA_MD5

MD5 = re.compile(r"\bmd5: *['\"]?([0-9a-f]{32}(?:\.dir)?)")
"""How DVC's files name an object, whatever else they hold."""
HERE = "data.dvc and its like, here and at HEAD"


def find(references: References, runs: Iterable[Run], cutoff: float) -> Kind:
    """Sort the objects of DVC's cache into stale ones and those that stay.

    Args:
        references: What registered versions need.
        runs: Others that stay, whose data must stay too.
        cutoff: What came into the cache later stays; seconds since 1970.

    Raises:
        DataError: If a list of files in the cache is corrupt.
    """
    kind = Kind(title="DVC objects", why="no registered version, branch, tag or data.dvc has them")
    try:
        top = dvc_cache.cache_folder()
    except NotFoundError:
        return kind
    if not top.is_relative_to(workspace.root()):
        kind.notes.append(f"{top} lies outside of this repository, others may use it: left alone.")
        return kind
    needed = _needed(references, runs, kind.notes)
    for path in sorted(top.glob("??/*")):
        md5 = path.parent.name + path.name.removesuffix(".unpacked")
        status = path.stat()
        who = set(needed.get(md5, ()))
        if max(status.st_ctime, status.st_mtime) >= cutoff:
            who |= {"younger"}
        kind.kept.update(who)
        if not who:
            kind.stale.append(Stale(name=md5, num_bytes=status.st_size, remove=_remover(path)))
    return kind


def _remover(path: Path) -> Callable[[], None]:
    return lambda: path.unlink(missing_ok=True)


def _needed(references: References, runs: Iterable[Run], notes: list[str]) -> dict[str, set[str]]:
    """Objects that somebody needs, and who."""
    needed = {md5: set(who) for md5, who in references.md5s.items()}
    for md5, who in _named(runs).items():
        needed.setdefault(md5, set()).update(who)
        if not md5.endswith(".dir"):
            continue
        if dvc_cache.missing([md5]):
            notes.append(f"The list of files {md5} of {', '.join(sorted(who))} is not here.")
            continue
        for file in dvc_cache.listing(md5):
            needed.setdefault(file["md5"], set()).update(who)
    return needed


def _named(runs: Iterable[Run]) -> dict[str, set[str]]:
    """Files and folders that runs that stay or git know by name, and who does."""
    named: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        if md5 := run.data.tags.get(DATA_MD5):
            named[md5].add("other runs that stay")
    for who, text in _named_in_git():
        for md5 in MD5.findall(text):
            named[md5].add(who)
    return named


def _named_in_git() -> Iterator[tuple[str, str]]:
    """Text of every file of DVC's, here and in whatever a branch, a tag or the stash points to."""
    top = workspace.root()
    listed = git.ask("ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=top)
    for path in (top / name for name in listed.split("\0") if _is_dvc_file(name)):
        if path.is_file():
            yield HERE, path.read_text()
    head = git.head(top)
    seen: dict[str, str] = {}
    for commit in {*git.tips(top).values(), *([head] if head else [])}:
        who = HERE if commit == head else "branches and tags of git"
        for name, blob in git.files(top, commit):
            if _is_dvc_file(name):
                text = seen[blob] = seen.get(blob) or git.ask("cat-file", "-p", blob, folder=top)
                yield who, text


def _is_dvc_file(name: str) -> bool:
    return name.endswith((".dvc", "dvc.lock"))
