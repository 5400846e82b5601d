"""Where this project keeps things on this machine: the workplace, and ``.unseen`` in it.

Everything in ``.unseen`` can be deleted without losing a byte of data: it holds the default MLflow
store, the default Prefect home, caches and locks. The variables that the tools already define
(``MLFLOW_TRACKING_URI``, ``PREFECT_API_URL``, ``PREFECT_HOME``, ``TORCH_HOME``) always win.
"""

import hashlib
import os
from functools import cache
from pathlib import Path

from models.errors import DataError
from tasks.platform import git

MARKS = (".dvc", "data.dvc", ".unseen")
"""What makes a folder inside of a git repository a workplace; the first from below counts."""
REFUSED = "%?#\\\n\r"
"""Characters that addresses of MLflow's files cannot hold in a path."""


def root(start: Path | None = None) -> Path:
    """The workplace around ``start``, by default around the working directory.

    That is the nearest folder with ``.dvc``, ``data.dvc`` or ``.unseen`` inside of the git
    repository; its top, if none has. Where there is no repository, the one with ``.unseen``: what
    is exported can be served there.

    Raises:
        DataError: If there is no git repository, because then no data version can be named, or if
            the path has a character that the stores cannot have.
    """
    start = (start or Path.cwd()).resolve()
    marked = None
    for folder in (start, *start.parents):
        if marked is None and any((folder / mark).exists() for mark in MARKS):
            marked = folder
        if (folder / ".git").exists():
            return _spelled(marked or folder)
    if marked is not None and (marked / ".unseen").is_dir():  # enough to serve an export
        return _spelled(marked)
    raise DataError(
        f"unseen must run inside a git repository, because git and DVC name the data; {start} is "
        "in none. Run 'git init' there, or change to your repository."
    )


def _spelled(folder: Path) -> Path:
    if found := sorted(set(REFUSED) & set(str(folder))):
        raise DataError(
            f"The path of the workplace must have none of the characters "
            f"{' '.join(map(repr, REFUSED))}, because MLflow reads them as parts of an address; "
            f"{folder} has {' '.join(map(repr, found))}. Rename the folder."
        )
    return folder


def home() -> Path:
    """The folder ``.unseen`` of the workplace, made if needed.

    Raises:
        DataError: If it must be made and cannot be.
    """
    folder = root() / ".unseen"
    ignored = folder / ".gitignore"
    if ignored.exists():
        return folder
    try:
        folder.mkdir(exist_ok=True)
        ignored.write_text("*\n")  # nobody should commit a store by accident
    except OSError as error:
        if folder.is_dir():  # a reader needs to write nothing
            return folder
        raise DataError(
            f"unseen must be able to write {folder}, got: {error.strerror}. Check the permissions "
            "and the free space of that disk."
        ) from error
    return folder


def git_commit() -> str:
    """Current commit, ``+dirty`` if tracked files were changed; ``unborn`` before the first.

    Raises:
        DataError: If git refuses.
    """
    top = root()
    commit = git.head(top)
    if commit is None:
        return "unborn"
    dirty = git.ask("status", "--porcelain", "--untracked-files=no", folder=top)
    return f"{commit}+dirty" if dirty else commit


@cache
def code_version() -> str:
    """First 16 hex digits of the SHA-256 of the sources of ``models`` and ``tasks``.

    Part of the lineage: says whether a model was trained by the very code that is here. What lets a
    step be reused is narrower: ``tasks.platform.source_digests``.
    """
    digest = hashlib.sha256()
    package = Path(__file__).parents[2]
    for layer in ("models", "tasks"):
        for path in sorted((package / layer).rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def configure() -> None:
    """Give the tools' own environment variables their defaults, before any tool is imported."""
    from tasks.platform import addresses

    os.environ[addresses.TRACKING] = addresses.tracking_uri()
    addresses.bypass_proxy()
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
