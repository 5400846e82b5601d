"""Where this project keeps things on this machine: the git root, and ``.unseen`` below it.

Everything in ``.unseen`` can be deleted without losing a byte of data: it holds the default MLflow
store, the default Prefect home, caches and locks. The variables that the tools already define
(``MLFLOW_TRACKING_URI``, ``PREFECT_API_URL``, ``PREFECT_HOME``, ``TORCH_HOME``) always win.
"""

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

from models.errors import DataError


def root(start: Path | None = None) -> Path:
    """Top folder of the git repository around ``start``, by default the working directory.

    Raises:
        DataError: If there is no git repository, because then no data version can be named.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    raise DataError(
        f"unseen must run inside a git repository, because git and DVC name the data; {start} is "
        "in none. Run 'git init' there, or change to your repository."
    )


def home() -> Path:
    """The folder ``.unseen`` of the repository, made if needed.

    Raises:
        DataError: If it cannot be written.
    """
    folder = root() / ".unseen"
    try:
        folder.mkdir(exist_ok=True)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")  # nobody should commit a store by accident
    except OSError as error:
        raise DataError(
            f"unseen must be able to write {folder}, got: {error.strerror}. Check the permissions "
            "and the free space of that disk."
        ) from error
    return folder


def git(*arguments: str) -> str:
    """Output of one git command in the repository, stripped; empty if git refuses it."""
    done = subprocess.run(
        ["git", *arguments], cwd=root(), capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def git_commit() -> str:
    """Current commit, ``+dirty`` if tracked files were changed; ``unborn`` before the first."""
    commit = git("rev-parse", "--verify", "-q", "HEAD")
    if not commit:
        return "unborn"
    return f"{commit}+dirty" if git("status", "--porcelain", "--untracked-files=no") else commit


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
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{home() / 'mlflow.db'}")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
