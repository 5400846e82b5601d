"""Parts of a test split that were measured apart are the whole."""

import pandas as pd
import pytest

from models.contracts import silent
from tasks.data import versions
from tasks.data.snapshots import open_version
from tasks.evaluation import measure_sharded, scoring
from tasks.evaluation.measure import joined, measure
from tasks.packaging import package
from tasks.registry import model_versions
from tests.tasks.pictures import write_clips, write_stills


@pytest.fixture
def detector(log_detector):
    return log_detector()


@pytest.fixture
def packaged(detector):
    return package.load(model_versions.folder(detector.model_uri))


def parts_of(version, packaged):
    snapshot = open_version(version)
    clips = snapshot.clips("test")
    return scoring.weights(snapshot, clips, packaged.preprocessing.window)


@pytest.mark.parametrize("write", [write_clips, write_stills])
def test_consecutive_parts_together_are_the_whole(repository, packaged, write, monkeypatch):
    monkeypatch.setattr(scoring, "STILLS", 1)
    write(repository / "data" / "shapes")
    version = versions.add("shapes")
    whole = measure(version, packaged, silent)
    num = len(parts_of(version, packaged))
    assert num > 1
    found = [measure(version, packaged, silent, range(at, at + 1)) for at in range(num)]
    together = joined(found, elapsed=1.5)
    pd.testing.assert_frame_equal(together.scores, whole.scores, check_exact=True)
    assert together.is_video == whole.is_video
    for name in ("detected", "alarming", "missed"):
        one, other = getattr(together.gallery, name), getattr(whole.gallery, name)
        assert [(each.name, each.image_score) for each in one] == [
            (each.name, each.image_score) for each in other
        ]
    assert together.pixels.auroc() == pytest.approx(whole.pixels.auroc(), rel=0, nan_ok=True)
    assert together.elapsed == 1.5


def test_a_shard_is_what_it_would_be_here(repository, detector, packaged):
    write_clips(repository / "data" / "shapes")
    version = versions.add("shapes")
    shard = measure_sharded.measure_shard.fn(range(1, 2), version, detector)
    alone = measure_sharded.measured(version, detector, packaged, silent)
    rows = alone.scores[alone.scores["clip"] == shard.scores["clip"][0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(shard.scores, rows, check_exact=True)
