import numpy as np
import pytest

from tasks.platform import workspace
from tasks.training.pretext.track_cache import FOLDER, Track, remembered

SETTINGS = {"frames": "ab", "side": 16}


def track(first, frames):
    return Track(
        clip="good/00",
        first=first,
        centres=np.arange(2.0 * frames).reshape(frames, 2),
        moments=(first, first + frames - 1),
        patches=np.full((2, 3, 4, 4), first, dtype=np.uint8),
    )


@pytest.fixture
def find(repository):
    """Finds two tracks, and counts how often it was asked."""

    def find():
        find.asked += 1
        return [track(5, 12), track(7, 10)]

    find.asked = 0
    return find


def same(one, other):
    return (one.clip, one.first, one.moments, one.last) == (
        other.clip,
        other.first,
        other.moments,
        other.last,
    ) and all(
        np.array_equal(mine, its) and mine.dtype == its.dtype
        for mine, its in ((one.centres, other.centres), (one.patches, other.patches))
    )


def test_what_was_found_once_is_read_again(find):
    found = remembered("good/00", SETTINGS, find)
    again = remembered("good/00", SETTINGS, find)
    assert find.asked == 1
    assert all(same(one, other) for one, other in zip(found, again, strict=True))


def test_that_nothing_was_found_is_remembered_too(repository):
    assert remembered("good/00", SETTINGS, list) == []
    assert remembered("good/00", SETTINGS, lambda: pytest.fail("asked again")) == []


def test_other_settings_or_code_are_searched_again(find):
    remembered("good/00", SETTINGS, find)
    remembered("good/00", {**SETTINGS, "side": 17}, find)
    remembered("good/00", {**SETTINGS, "code": "other"}, find)
    assert find.asked == 3


@pytest.mark.parametrize("bytes_left", [0, 100, 1000])
def test_a_file_that_cannot_be_read_counts_as_none(find, bytes_left):
    remembered("good/00", SETTINGS, find)
    (path,) = (workspace.home() / FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:bytes_left])
    assert len(remembered("good/00", SETTINGS, find)) == 2
    assert find.asked == 2
    assert len(remembered("good/00", SETTINGS, find)) == 2
    assert find.asked == 2
