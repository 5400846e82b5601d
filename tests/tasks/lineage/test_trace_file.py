import shutil
from contextlib import ExitStack
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from tasks.data import dvc_cache, versions
from tasks.data.ingest import ingest
from tasks.lineage.trace_file import trace_file
from tasks.registry.decisions import rollback
from tests.tasks.deployed import damaged, package_of

REPLACED = "test/cart/01/000.png"


@pytest.fixture(scope="module")
def story(settled):
    """Four versions: squares 1 serves again after 2 was rolled back; 3 saw a later version of the
    data, in which one file was replaced, through an encoder of the first; circles never served."""
    settled.deploy(seed=1)
    rollback("squares", "Too many alarms.")
    settled.deploy("circles", promoted=False)
    pixels = np.full((16, 24), 200, np.uint8)
    shutil.copytree(settled.source, later := settled.source.with_name("later"))
    Image.fromarray(pixels).save(later / REPLACED)
    settled.later = ingest.fn("squares", later)
    settled.deploy(seed=2, version=settled.later, pretext=settled.clips, promoted=False)
    return settled


def test_every_version_that_used_a_file_is_found_by_its_bytes(story, tmp_path):
    path = tmp_path / "renamed.jpg"
    shutil.copyfile(story.source / "train" / "good" / "02" / "003.png", path)
    found = trace_file(path)
    assert [(each.model, each.version, each.through) for each in found.found] == [
        ("circles", 1, ("detector", "pretext")),
        ("squares", 1, ("detector", "pretext")),
        ("squares", 2, ("detector", "pretext")),
        ("squares", 3, ("detector",)),
        ("squares", 3, ("pretext",)),
    ]
    assert [each.serves for each in found.found] == [False, True, False, False, False]
    assert [each.served for each in found.found] == [False, True, True, False, False]
    assert found.found[1].aliases == ("champion",)
    assert {each.relpath for each in found.found} == {"train/good/02/003.png"}
    assert {each.role for each in found.found} == {"train"}
    digests = [each.data_digest for each in found.found]
    assert digests == [story.clips.digest] * 3 + [story.later.digest, story.clips.digest]
    assert (found.searched, found.unknown) == (4, ())


def test_only_versions_whose_data_held_the_file_count(story):
    new = trace_file(story.source.with_name("later") / REPLACED).found
    assert [(each.version, each.through, each.role) for each in new] == [(3, ("detector",), "test")]
    old = trace_file(story.source / REPLACED).found
    assert [(each.model, each.version, each.through) for each in old] == [
        ("circles", 1, ("detector", "pretext")),
        ("squares", 1, ("detector", "pretext")),
        ("squares", 2, ("detector", "pretext")),
        ("squares", 3, ("pretext",)),
    ]


def test_a_file_that_nobody_saw_is_a_miss(story, tmp_path):
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(tmp_path / "new.png")
    found = trace_file(tmp_path / "new.png")
    assert (found.found, found.searched, found.unknown) == ((), 4, ())
    assert asdict(found)["md5"] == dvc_cache.file_md5(tmp_path / "new.png")


def test_versions_that_share_their_data_answer_for_each_other(story):
    with damaged(package_of("squares", 1) / "files.json", b""):
        found = trace_file(story.source / REPLACED)
    assert [each.version for each in found.found] == [1, 1, 2, 3]
    assert found.unknown == ()


def test_a_lost_list_of_files_is_said_to_be_unsearched(story):
    files = package_of("squares", 3) / "files.json"
    with ExitStack() as lost:
        lost.enter_context(damaged(files, b""))
        for listing in list(dvc_cache.cached_listings()):  # more than one may hold the set
            lost.enter_context(damaged(dvc_cache.cached_path(listing), b""))
        assert versions.recorded() == story.later.dvc_md5
        found = trace_file(story.source / REPLACED)
    assert (found.unknown, len(found.found)) == ((story.later.digest,), 4)


def test_a_path_that_cannot_be_read_is_refused(settled, tmp_path):
    with pytest.raises(InvalidInputError, match=r"nowhere\.png: No such file"):
        trace_file(tmp_path / "nowhere.png")


def test_without_any_model_nothing_was_searched(repository):
    found = trace_file(repository / ".git" / "HEAD")
    assert (found.searched, found.found) == (0, ())
