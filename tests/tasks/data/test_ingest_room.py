"""Data sets that the disk has no room for, or that it does not take."""

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest

from models.errors import DataError
from tasks.data import dvc_cache, versions
from tasks.data.ingest import ingest, ingest_folder
from tests.tasks.data.test_ingest import state
from tests.tasks.pictures import save, write_stills


@pytest.fixture
def source(tmp_path):
    return write_stills(tmp_path / "source")


def test_a_disk_that_cannot_be_written_is_a_clear_error(repository, source):
    (repository / "data").write_text("a file in the way")
    with pytest.raises(DataError, match="writable"):
        ingest_folder(str(source), name="mine")
    assert not (repository / "data.dvc").exists()


@pytest.fixture
def quota():
    """Function that lets files of this process grow up to a size, for as long as it is used."""

    @contextmanager
    def limited(num_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def add_large_file(folder):
    noise = np.random.default_rng(0).integers(0, 256, (600, 600)).astype(np.uint8)
    save(folder / "train" / "good" / "large.png", noise)


def test_data_for_which_there_is_no_room_change_nothing(repository, source, quota):
    ingest.fn("mine", source)
    before = state(repository)
    add_large_file(source)
    with quota(250_000), pytest.raises(DataError, match="free space"):
        ingest.fn("mine", source)
    assert state(repository) == before
    assert ingest.fn("mine", source).num_files == 9


def test_a_version_that_the_cache_has_no_room_for_is_not_recorded(repository, source, quota):
    ingest.fn("mine", source)
    before = (repository / "data.dvc").read_bytes()
    add_large_file(repository / "data" / "mine")
    with quota(250_000), pytest.raises(DataError, match="1 of 9 could not be written"):
        ingest.fn("mine")
    assert (repository / "data.dvc").read_bytes() == before
    for listing in dvc_cache.cached_listings():
        assert dvc_cache.missing(item["md5"] for item in dvc_cache.listing(listing)) == ()
    version = ingest.fn("mine")
    assert dvc_cache.missing(entry.md5 for entry in versions.entries(version)) == ()


def test_a_version_on_a_full_disk_is_not_recorded(repository, source):
    ingest.fn("mine", source)
    before = (repository / "data.dvc").read_bytes()
    add_large_file(repository / "data" / "mine")
    cache = repository / ".dvc" / "cache" / "files" / "md5"
    shutil.copytree(cache, repository / "copy")
    small = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", os.fspath(cache)]
    if shutil.which("mount") is None or subprocess.run(small, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        shutil.copytree(repository / "copy", cache, dirs_exist_ok=True)
        with pytest.raises(DataError, match="free space"):
            ingest.fn("mine")
    finally:
        subprocess.run(["umount", os.fspath(cache)], check=True)
    assert (repository / "data.dvc").read_bytes() == before
    assert ingest.fn("mine").num_files == 9
