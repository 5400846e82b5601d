"""The bytes behind the md5s: DVC's cache, and its default remote for what the cache lacks."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from models.errors import DataError, NotFoundError
from tasks.platform import git, workspace

log = logging.getLogger(__name__)

INTERNAL = (
    "dvc", "dvc_data", "dvc_objects", "scmrepo", "pygit2", "_pygit2", "git", "dulwich", "sqlite3",
    "diskcache", "configobj", "voluptuous", "ruamel",
)  # fmt: skip
"""Packages that DVC is made of: what they raise is DVC's failure, not a defect of ours."""


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """The DVC repository, made if there is none; its failures come out as DataError."""
    top = workspace.root()
    git.head(top)  # DVC takes a git that refuses, or none, for a repository without git
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    for logger in ("dvc_data", "dvc_objects"):  # what they fail to write, check_stored tells
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        folder = dvc_folder() or _initialize(top)
        with contextlib.closing(Repo(str(folder.parent))) as repo:
            yield repo
    except Exception as error:
        if not isinstance(error, OSError) and _package(error) not in INTERNAL:
            raise
        raise DataError(
            f"DVC must be able to do its work in {top}, got: {str(error) or type(error).__name__}. "
            "Check 'dvc status', the permissions and the free space of the disk."
        ) from error


def dvc_folder() -> Path | None:
    """The folder ``.dvc`` that the workplace belongs to, which may lie above it in a monorepo."""
    top = workspace.root()
    for folder in (top, *top.parents):
        if (folder / ".dvc").is_dir():
            return folder / ".dvc"
        if (folder / ".git").exists():
            return None
    return None


def _initialize(top: Path) -> Path:
    """Make a DVC repository as ``dvc init`` does, and leave git's index to the person."""
    from dvc.config import Config
    from dvc.ignore import init
    from dvc.repo import Repo

    folder = top / ".dvc"
    folder.mkdir(exist_ok=True)
    Config.init(str(folder))
    init(str(top))
    Repo(str(top)).close()  # makes .dvc/.gitignore
    log.warning("Initialized a DVC repository in %s.", folder)
    return folder


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def replace_dvc_file(stage: Any) -> None:
    """Write the ``.dvc`` file of a stage at once; DVC itself leaves it empty for a moment."""
    from dvc.stage.serialize import to_single_stage_file
    from dvc.utils.serialize import dumps_yaml

    partial = workspace.home() / f"{Path(stage.path).name}.part"
    partial.write_text(dumps_yaml(to_single_stage_file(stage)))
    partial.replace(stage.path)


def cache_folder() -> Path:
    """Folder of DVC's cache that holds the objects by md5.

    Raises:
        NotFoundError: If nothing was ever brought in here.
    """
    folder = dvc_folder()
    if folder is None:
        raise NotFoundError(
            f"There is no data version yet in {workspace.root()}. Bring data in with 'unseen "
            "ingest'."
        )
    return _cache_folder(folder)


@cache
def _cache_folder(folder: Path) -> Path:
    from dvc.config import Config  # opening the repository takes a second, its settings do not
    from dvc.exceptions import DvcException

    with contextlib.suppress(DvcException):
        settings = Config(str(folder))["cache"]
        if not settings.get("local"):
            return Path(settings.get("dir") or folder / "cache", "files", "md5")
    with opened() as repo:
        return Path(repo.cache.local.path)


def cached_path(md5: str) -> Path:
    """Where DVC's cache keeps an object, whether it has it or not."""
    return cache_folder() / md5[:2] / md5[2:]


def missing(md5s: Iterable[str]) -> tuple[str, ...]:
    """Those of the objects that DVC's cache does not hold."""
    top = cache_folder()
    return tuple(md5 for md5 in md5s if not (top / md5[:2] / md5[2:]).exists())


def check_stored(md5s: Iterable[str]) -> None:
    """Raise unless DVC's cache holds these objects; DVC only logs that it could not write one.

    Raises:
        DataError: Otherwise.
    """
    wanted = tuple(md5s)
    if lacking := missing(wanted):
        raise DataError(
            f"DVC's cache must take every file of a version, and {len(lacking)} of {len(wanted)} "
            f"could not be written to {cache_folder()}. Check the free space and the permissions, "
            "then try again; no version has changed."
        )


def at_hand(*md5s: str) -> bool:
    """Whether DVC's cache holds these objects, or could just fetch them from the remote."""
    lacking = missing(md5s)
    if lacking:
        try:
            fetch(lacking)
        except DataError as error:
            log.warning("%s", error)
    return not missing(lacking)


def locate(md5: str, name: str) -> Path:
    """Path of an object in DVC's cache, fetched from the remote if need be.

    Args:
        md5: The object's md5; a list of files ends in ``.dir``.
        name: What to call it in a message.

    Raises:
        DataError: If it is nowhere to be had.
    """
    path = cached_path(md5)
    if not path.exists():
        fetch([md5])
    if not path.exists():
        raise DataError(
            f"{name} (md5 {md5}) must be in DVC's cache or remote, and is in neither. Run 'dvc "
            "fetch' with a remote that has it, or bring the data in again with 'unseen ingest'."
        )
    return path


def verified(md5: str, name: str) -> Path:
    """Path of an object in DVC's cache whose bytes were just found to have this md5.

    Raises:
        DataError: If it is nowhere to be had, or corrupt.
    """
    path = locate(md5, name)
    check(path, md5, name)
    return path


def check(path: Path, md5: str, name: str) -> None:
    """Raise unless the bytes at ``path`` have this md5.

    Raises:
        DataError: If they have another, or cannot be read.
    """
    try:
        actual = file_md5(path)
    except OSError as error:
        raise DataError(
            f"{name} must be readable at {path}, got: {error.strerror}. Check the disk and its "
            "permissions."
        ) from error
    if actual != md5.removesuffix(".dir"):
        raise DataError(
            f"{name} must have md5 {md5}, but DVC's cache holds other bytes for it, {actual}: it "
            f"is corrupt. Delete {cached_path(md5)}, then run 'dvc fetch', or 'unseen ingest' if "
            "the file in data/ is still good."
        )


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes, as DVC computes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch(md5s: Iterable[str]) -> None:
    """Fetch objects from DVC's default remote, as far as there is one and it has them.

    Raises:
        DataError: If the remote does not answer.
    """
    with opened() as repo:
        remote = repo.config["core"].get("remote")
        if not remote:
            return
        from dvc_data.hashfile.hash_info import HashInfo

        try:
            repo.cloud.pull([HashInfo("md5", md5) for md5 in md5s])
        except Exception as error:  # every kind of remote has exceptions of its own
            raise DataError(
                f"DVC's remote '{remote}' must answer, got: {error}. Check the network and 'dvc "
                "remote list'."
            ) from error


def push(md5s: Iterable[str]) -> str:
    """Copy objects to DVC's default remote, those that it has left out; its name.

    Raises:
        DataError: If there is no remote, or it does not take them.
    """
    with opened() as repo:
        remote = repo.config["core"].get("remote")
        if not remote:
            raise DataError(
                "Pushing needs a DVC remote, and there is none. Name one with 'dvc remote add -d "
                "NAME URL'."
            )
        from dvc_data.hashfile.hash_info import HashInfo

        try:
            failed = repo.cloud.push([HashInfo("md5", md5) for md5 in md5s]).failed
        except Exception as error:  # every kind of remote has exceptions of its own
            raise DataError(
                f"DVC's remote '{remote}' must take the data, got: {error}. Check the network and "
                "'dvc remote list'."
            ) from error
        if failed:
            raise DataError(
                f"DVC's remote '{remote}' must take all objects, and did not take {len(failed)}. "
                "Say it again, or try 'dvc push'."
            )
        return str(remote)


def remote_url() -> str | None:
    """URL of DVC's default remote, None if there is none."""
    with opened() as repo:
        remote = repo.config["core"].get("remote")
        return str(repo.config["remote"][remote]["url"]) if remote else None


def listing(dvc_md5: str) -> tuple[dict[str, str], ...]:
    """DVC's list of files of a folder: ``md5`` and ``relpath`` of each, sorted by path.

    Raises:
        DataError: If it is neither in the cache nor in the remote, or is corrupt.
    """
    return _parsed(verified(dvc_md5, "The list of files in data/"))


@cache
def _parsed(path: Path) -> tuple[dict[str, str], ...]:
    return tuple(json.loads(path.read_bytes()))


def cached_listings() -> Iterator[str]:
    """The md5 of every list of files that DVC's cache holds."""
    for path in sorted(cache_folder().glob("*/*.dir")):
        yield path.parent.name + path.name


def num_bytes(md5s: Iterable[str]) -> int:
    """Bytes that the objects take, as far as DVC's cache holds them."""
    top = cache_folder()
    paths = (top / md5[:2] / md5[2:] for md5 in md5s)
    return sum(path.stat().st_size for path in paths if path.exists())
