from types import SimpleNamespace

import pandas as pd
import pytest

from tasks.evaluation import old_and_new
from tasks.registry import version_facts

BEFORE = {"test/good/0.png": "a", "test/dent/1.png": "b", "train/good/9.png": "c"}
SINCE = {**BEFORE, "test/good/2.png": "d", "test/dent/1.png": "other"}


def version(digest, files, threshold):
    tags = {"unseen.data_digest": digest, "unseen.metric.threshold": str(threshold)}
    listed = [{"relpath": path, "md5": md5} for path, md5 in files.items()]
    return SimpleNamespace(tags=tags, files=listed)


@pytest.fixture(autouse=True)
def carried(monkeypatch):
    monkeypatch.setattr(version_facts, "read_json", lambda about, _: about.files)


def scores(*rows):
    return pd.DataFrame(rows, columns=["clip", "frame", "label", "challenger", "champion"])


def test_new_pictures_are_told_apart_from_old_ones_by_their_bytes():
    both = scores(
        ("good/0", 0, 0, 0.1, 0.7), ("good/2", 0, 0, 0.2, 0.9), ("dent/1", 0, 1, 0.9, 0.6)
    )
    judged, serving = version("new", SINCE, 0.5), version("old", BEFORE, 0.5)
    sentence, figures = old_and_new.apart(both, judged, serving)
    assert sentence == (
        "Test pictures old: 1, 0 false alarms against 1; new: 2, AUROC 1.0000 against 0.0000, "
        "0 false alarms against 1 of 1 normal frames."
    )
    assert (figures["new.challenger_auroc"], figures["new.champion_auroc"]) == (1.0, 0.0)
    assert (figures["old.num_clips"], figures["new.num_clips"]) == (1.0, 2.0)


def test_nothing_is_said_where_no_test_picture_is_new():
    both, serving = scores(("good/0", 0, 0, 0.1, 0.7)), version("old", BEFORE, 0.5)
    assert old_and_new.apart(both, version("old", SINCE, 0.5), serving) == ("", {})
    assert old_and_new.apart(both, version("new", BEFORE, 0.5), serving) == ("", {})
    assert old_and_new.apart(both, version("new", SINCE, 0.5), version("x", {}, 0.5)) == ("", {})
