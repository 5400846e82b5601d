"""Old files of our own below ``.unseen``: remembered results, reports, scratch, downloads."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tasks.housekeeping.references import ID, References
from tasks.housekeeping.stale import Kind, Stale, newest, size
from tasks.platform import files, prefect_server, workspace
from tasks.training.pretext import track_cache


def results(references: References, cutoff: float) -> Kind:
    """Results that Prefect remembers, so that unchanged steps are not computed again.

    One that points to a run of a registered version stays, or it would be trained again. A younger
    one stays, and what it points to with it: its ids are noted in ``references``.
    """
    kind = Kind(title="remembered results", why="of steps that no registered version is made of")
    for path in _within(prefect_server.folder() / "storage"):
        text = path.read_text(errors="replace")
        who = set().union(*(references.ids.get(each, set()) for each in ID.findall(text)))
        if path.stat().st_mtime >= cutoff:
            who |= {"younger"}
            references.add(text, "remembered results")
        kind.kept.update(who)
        if not who:
            kind.stale.append(_stale(path))
    return kind


def scratch(cutoff: float) -> Kind:
    """What validation, downloads, mining and killed processes left; all of it can be made again."""
    kind = Kind(
        title="scratch files", why="reports that MLflow has too, downloads, mined tracks, leftovers"
    )
    for name in ("validation", "downloads", track_cache.FOLDER, files.SCRATCH):
        for path in _within(workspace.home() / name):
            if path.suffix == ".lock":  # removing one that somebody waits for would let two in
                continue
            if newest(path) >= cutoff:
                kind.kept["younger"] += 1
            else:
                kind.stale.append(_stale(path))
    return kind


def _within(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _stale(path: Path) -> Stale:
    name = str(path.relative_to(workspace.home()))
    return Stale(name=name, num_bytes=size(path), remove=_remover(path))


def _remover(path: Path) -> Callable[[], None]:
    def remove() -> None:
        if path.is_dir():
            gone = path.with_name(f".{path.name}.gone")
            path.rename(gone)
            shutil.rmtree(gone)
        else:
            path.unlink(missing_ok=True)

    return remove
