"""The wheel holds all that is needed to work without a clone of this repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import make_repository
from tests.processes import output_of

ROOT = Path(__file__).parents[1]
LAYERS = ("flows", "tasks", "models")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (*LAYERS, "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)  # nothing is written beside the sources
    code = "import setuptools.build_meta as made; print(made.build_wheel('..'))"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_every_file_of_the_packages_is_in_it(unpacked):
    there = {
        path.relative_to(ROOT)
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = {
        path.relative_to(unpacked) for layer in LAYERS for path in (unpacked / layer).rglob("*.*")
    }
    assert there <= found
    assert {Path(layer, "py.typed") for layer in LAYERS} <= found
    (about,) = unpacked.glob("unseen-*.dist-info")
    assert "unseen = flows.cli.main:main" in (about / "entry_points.txt").read_text()
    assert (about / "licenses" / "LICENSE").is_file()


def test_it_runs_in_any_repository(unpacked, tmp_path):
    repository = make_repository(tmp_path / "elsewhere")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "PYTHONPATH": str(unpacked),
    }

    def unseen(*arguments):
        command = [sys.executable, "-m", "flows.cli", *arguments]
        return output_of(command, cwd=repository, env=environment)

    assert "Registry" in unseen("--help")
    assert "walkway" in unseen("recipes")
    assert "ped2" in unseen("datasets")
    code = "import flows, tasks; print(flows.__file__, tasks.__file__)"
    places = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert all(place.startswith(str(unpacked)) for place in places)
