import re
import shutil

import pytest

from tasks.platform import identity


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Function that makes a workplace, or enters it."""

    def enter(path):
        (tmp_path / path / ".git").mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(tmp_path / path)
        return identity.pool()

    return enter


def test_two_workplaces_called_alike_have_pools_of_their_own(project):
    first, second = project("ada/my project & co"), project("ben/my project & co")
    assert first != second
    for name in (first, second):
        assert re.fullmatch(r"unseen-my-project---co-[0-9a-f]{8}", name)
    assert project("ada/my project & co") == first


def test_a_moved_workplace_keeps_its_pool_and_a_copied_one_gets_its_own(project, tmp_path):
    before = project("here")
    shutil.copytree(tmp_path / "here", tmp_path / "copy")
    assert project("copy") != before
    assert project("here") == before
    project("elsewhere")
    (tmp_path / "here").rename(tmp_path / "moved")
    assert project("moved") == before
    assert identity.identity() in before


def test_what_cannot_be_read_is_made_anew(project, tmp_path):
    project("here")
    (tmp_path / "here" / ".unseen" / identity.FILE).write_text("{")
    assert identity.identity() in project("here")
