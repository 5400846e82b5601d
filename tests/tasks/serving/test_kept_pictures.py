import hashlib
import os
from dataclasses import replace

import pytest

from models.errors import InvalidInputError
from tasks.serving import kept_pictures
from tasks.serving.kept_pictures import Keep, KeptPictures, kept, path_of, wanted
from tests.tasks.serving.monitoring.test_prediction_log import ONE

STILLS = replace(ONE, frames=(0, 1), anomalous=(1,))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


def scored(*contents):
    digests = tuple(hashlib.sha256(each).hexdigest() for each in contents)
    return replace(STILLS, files=digests, frames=tuple(range(len(digests))), anomalous=())


def keep(*contents, mib=1):
    pictures = KeptPictures("squares", Keep(policy="all", mib=mib))
    pictures.start()
    for each in contents:
        pictures.put(scored(each), [each])
    pictures.stop()
    return pictures


def test_a_policy_keeps_stills_by_themselves_and_clips_whole():
    assert wanted(STILLS, "alarms") == (1,)
    assert wanted(ONE, "alarms") == wanted(ONE, "all") == (0, 1)  # a clip
    assert wanted(replace(ONE, anomalous=()), "alarms") == wanted(ONE, "none") == ()


def test_a_picture_is_kept_once_under_its_digest_for_its_owner_alone():
    assert keep(b"one", b"two", b"one").lost == 0
    digests = scored(b"one", b"two").files
    assert kept("squares") == set(digests)
    path = path_of("squares", digests[0])
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o077 == 0


def test_the_oldest_go_first_and_what_is_seen_again_is_not_the_oldest():
    old, again, new = (bytes([value]) * 400_000 for value in (1, 2, 3))
    keep(old, again)
    for place, each in enumerate((again, old)):
        os.utime(path_of("squares", scored(each).files[0]), (place, place))
    keep(again, new)
    assert kept("squares") == {scored(again).files[0], scored(new).files[0]}


def test_what_cannot_be_written_is_counted_and_breaks_nothing(tmp_path, caplog):
    assert keep(bytes(2 * 2**20), b"small").lost == 1
    assert "larger than --keep-mib" in caplog.text
    (tmp_path / ".unseen" / "kept").rename(tmp_path / "elsewhere")
    (tmp_path / ".unseen" / "kept").write_text("in the way, as a full disk would be")
    assert keep(b"three").lost == 1


def test_more_than_can_wait_is_lost(monkeypatch):
    monkeypatch.setattr(kept_pictures, "MOST_WAITING_BYTES", 5)
    pictures = KeptPictures("squares", Keep(policy="all"))
    pictures.put(scored(b"one", b"two"), [b"one", b"two"])
    assert pictures.lost == 1


@pytest.mark.parametrize("wrong", [{"policy": "some"}, {"mib": 0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="--keep"):
        Keep(**wrong)
