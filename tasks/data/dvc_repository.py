"""The DVC repository of the workplace: opened, made when there is none, its failures told."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.errors import DataError
from tasks.data import layout
from tasks.platform import files, git, workspace

log = logging.getLogger(__name__)

INTERNAL = (
    "dvc", "dvc_data", "dvc_objects", "scmrepo", "pygit2", "_pygit2", "git", "dulwich", "sqlite3",
    "diskcache", "configobj", "voluptuous", "ruamel",
)  # fmt: skip
"""Packages that DVC is made of: what they raise is DVC's failure, not a defect of ours."""
IGNORED_WHY = "# What file managers leave in folders is no data."


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """The DVC repository, made if there is none; its failures come out as DataError."""
    top = workspace.root()
    git.head(top)  # DVC takes a git that refuses, or none, for a repository without git
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    for logger in ("dvc_data", "dvc_objects"):  # what they fail to write, check_stored tells
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with told():
        found = folder() or _initialize(top)
        with contextlib.closing(Repo(str(found.parent))) as repo:
            yield repo


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Whatever DVC and what it is made of raise in the block comes out as DataError."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and _package(error) not in INTERNAL:
            raise
        raise DataError(
            f"DVC must be able to do its work in {workspace.root()}, got: "
            f"{str(error) or type(error).__name__}. Check 'dvc status', the permissions and the "
            "free space of the disk."
        ) from error


def folder() -> Path | None:
    """The folder ``.dvc`` that the workplace belongs to, which may lie above it in a monorepo."""
    top = workspace.root()
    for each in (top, *top.parents):
        if (each / ".dvc").is_dir():
            return each / ".dvc"
        if (each / ".git").exists():
            return None
    return None


def _initialize(top: Path) -> Path:
    """Make a DVC repository as ``dvc init`` does, and leave git's index to the person."""
    from dvc.config import Config
    from dvc.ignore import init
    from dvc.repo import Repo

    made = top / ".dvc"
    made.mkdir(exist_ok=True)
    Config.init(str(made))
    init(str(top))
    Repo(str(top)).close()  # makes .dvc/.gitignore
    log.warning("Initialized a DVC repository in %s.", made)
    return made


def ignore_noise() -> None:
    """Let DVC ignore what file managers leave behind: ``.dvcignore`` gets the names it lacks."""
    path = workspace.root() / ".dvcignore"
    text = path.read_text() if path.exists() else ""
    lacking = [name for name in layout.IGNORED if name not in text.split()]
    if lacking:
        begun = f"{text.rstrip()}\n\n" if text.strip() else ""
        more = f"{IGNORED_WHY}\n" + "".join(f"{name}\n" for name in lacking)
        files.write(path, begun + more, folder=workspace.home())


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def replace_dvc_file(stage: Any) -> None:
    """Write the ``.dvc`` file of a stage at once; DVC itself leaves it empty for a moment."""
    from dvc.stage.serialize import to_single_stage_file
    from dvc.utils.serialize import dumps_yaml

    text = dumps_yaml(to_single_stage_file(stage))
    files.write(Path(stage.path), text, folder=workspace.home())
