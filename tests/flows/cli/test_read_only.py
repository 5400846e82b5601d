"""Commands that read, by somebody who may not write: a user without permission."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3]
NOBODY = 65534


@pytest.fixture
def published(settled):
    """A copy of a workplace that everybody may read and nobody may write."""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        Path(top).chmod(0o755)
        folder = Path(shutil.copytree(settled.folder, Path(top) / "workplace"))
        (Path(top) / "home").mkdir()
        (Path(top) / "home").chmod(0o777)
        paths = [folder, *folder.rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def unseen(folder, *arguments):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_"))}
    environment = {
        **kept,
        "PYTHONPATH": str(SOURCES),
        "HOME": str(folder.parent / "home"),
        "PREFECT_HOME": str(folder.parent / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_COUNT": "1",  # the reader does not own the repository
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **user,
    )


def listed(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["models"], "squares"),
        (["history", "squares"], "promote"),
        (["trace", "squares"], "squares version 1"),
        (["status"], ""),
    ],
)
def test_who_may_only_read_can_read(published, arguments, told):
    try:
        reached = unseen(published, "--help").returncode == 0
    except PermissionError:  # not even the interpreter
        reached = False
    if not reached:
        pytest.skip("another user cannot reach these sources")
    before = listed(published)
    done = unseen(published, *arguments)
    assert done.returncode in ({0, 1} if arguments == ["status"] else {0}), done.stderr
    assert "Traceback" not in done.stderr
    assert told in done.stdout
    assert listed(published) == before
