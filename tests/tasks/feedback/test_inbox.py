import pytest

from models.errors import NotFoundError
from tasks.feedback.inbox import find, inbox, judge, pending, picture_path, undo
from tasks.serving import kept_pictures
from tests.conftest import make_repository
from tests.tasks.feedback.scoring import scored


@pytest.fixture
def here(tmp_path, monkeypatch):
    make_repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    scored(
        "squares",
        [(b"calm", 0.9)],
        [(b"alarm", 0.01), (b"close", 0.06)],
        [(b"closer", 0.051)],
        [(b"alarm", 0.02)],
    )


def names(**options):
    return [item.prediction for item in inbox("squares", **options)]


def test_alarms_and_what_was_closest_are_there_once_newest_first(here):
    assert names(closest=2) == ["r3", "r2", "r1:1"]
    assert names(closest=1) == ["r3", "r2"]
    assert [item.anomalous for item in inbox("squares")] == [True, False, False, False]
    assert inbox("circles") == ()


def test_what_is_judged_leaves_the_inbox_and_comes_back_when_it_is_undone(here):
    judge("squares", "r3", "defect", "dent", who="Ada")
    judge("squares", "r2", "skip", who="Ada")
    assert names() == ["r1:1", "r0"]
    [standing] = pending("squares").values()
    assert (standing.last.kind, standing.last.who, standing.last.version) == ("dent", "Ada", 1)
    assert undo("squares", who="Ada").prediction == "r2"
    assert names() == ["r2", "r1:1", "r0"]
    judge("squares", "r1:0", "normal", who="Bob")  # the same picture, an earlier answer
    assert names() == ["r3", "r2", "r1:1", "r0"]
    assert [each.who for each in inbox("squares")[0].opinions] == ["Ada", "Bob"]


def test_what_is_judged_stays_when_the_kept_pictures_go(here):
    item = find("squares", "r3")
    judge("squares", "r3", "normal")
    kept_pictures.path_of("squares", item.picture).unlink()
    assert picture_path("squares", item.picture).read_bytes() == b"alarm"
    closer = find("squares", "r2")
    kept_pictures.path_of("squares", closer.picture).unlink()
    assert picture_path("squares", closer.picture) is None
    with pytest.raises(NotFoundError, match="not kept any more"):
        judge("squares", "r2", "normal")


def test_a_request_of_several_pictures_must_be_told_which(here):
    with pytest.raises(NotFoundError, match="Pictures of that request: r1:0, r1:1"):
        find("squares", "r1")
