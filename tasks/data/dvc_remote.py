"""DVC's default remote: what it has, and what is fetched from it and pushed to it."""

import contextlib
import threading
from collections.abc import Iterable

from models.errors import DataError
from tasks.data import dvc_repository

ANSWER_SECONDS = 8.0
"""How long a remote may take to say what it has, where a person waits."""


def fetch(md5s: Iterable[str]) -> None:
    """Fetch objects from DVC's default remote, as far as there is one and it has them.

    Raises:
        DataError: If the remote does not answer.
    """
    with dvc_repository.opened() as repo:
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
    with dvc_repository.opened() as repo:
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


def url() -> str | None:
    """URL of DVC's default remote as it is configured now, None if there is none."""
    folder = dvc_repository.folder()
    if folder is None:
        return None
    from dvc.config import Config  # opening the repository takes a second, its settings do not

    with dvc_repository.told():
        settings = Config(str(folder))
        remote = settings["core"].get("remote")
        if remote and remote not in settings["remote"]:
            raise DataError(
                f"DVC's default remote must be one of 'dvc remote list', got {remote!r}. Add it "
                "with 'dvc remote add', or choose another with 'dvc remote default'."
            )
        return str(settings["remote"][remote]["url"]) if remote else None


def count(md5s: Iterable[str], seconds: float = ANSWER_SECONDS) -> int | None:
    """How many of the objects DVC's default remote has; None if it did not answer in time.

    Args:
        md5s: The objects.
        seconds: How long it may take.
    """
    found: list[int] = []

    def look() -> None:
        with contextlib.suppress(Exception), dvc_repository.opened() as repo:
            odb = repo.cloud.get_remote_odb()
            found.append(len(set(odb.oids_exist(list(dict.fromkeys(md5s))))))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None
