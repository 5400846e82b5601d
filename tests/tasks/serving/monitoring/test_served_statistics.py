import json
from dataclasses import replace

import numpy as np
import pytest

from tasks.platform import files
from tasks.serving.monitoring import served_statistics
from tasks.serving.monitoring.served_statistics import (
    BLOCK,
    LONGEST_TIMELINE,
    RECENT,
    Identity,
    Seen,
    Served,
    Tally,
)

IDENTITY = Identity(name="squares", version=3, digest="a" * 64, rate=None)
EDGES = np.linspace(0, 1, served_statistics.BINS - 1)


def seen(num, seed=0, *, is_clip=True, dim=3):
    draw = np.random.default_rng(seed)
    return Seen(
        p_value=draw.uniform(0.01, 1, num),
        image_score=draw.normal(size=num),
        num_alarms=num // 4,
        is_clip=is_clip,
        features=(draw.normal(size=(5 * num, dim)),),
    )


@pytest.fixture
def filled():
    made = Served(IDENTITY, EDGES)
    for seed in range(12):
        if made.add(seen(40, seed)):
            made.mark(0.5 * seed)
    return made


def equal(one, other):
    assert (one.frames, one.squares, one.alarms) == (other.frames, other.squares, other.alarms)
    assert np.array_equal(one.p_values, other.p_values)
    assert np.array_equal(one.scores, other.scores)
    assert np.array_equal(one.moments.mean, other.moments.mean)
    assert np.array_equal(one.moments.scatter, other.moments.scatter)


def test_a_p_value_at_the_end_of_a_bin_belongs_to_it():
    made = Tally()
    given = {"image_score": np.array([-9.0, 0.5, 9.0]), "num_alarms": 1, "is_clip": True}
    made.add(Seen(p_value=np.array([0.05, 0.0501, 1.0]), **given), EDGES)
    assert np.flatnonzero(made.p_values).tolist() == [0, 1, served_statistics.BINS - 1]
    assert made.scores[[0, -1]].tolist() == [1, 1]
    assert made.moments is None


def test_frames_of_a_clip_count_as_one_and_still_images_as_many():
    clips, stills, uneven = Tally(), Tally(), Tally()
    for seed in range(3):
        clips.add(seen(10, seed), EDGES)
        stills.add(seen(10, seed, is_clip=False), EDGES)
    for num in (30, 1, 1):
        uneven.add(seen(num), EDGES)
    assert (clips.clips, stills.clips, Tally().clips) == (3, 30, 0)
    assert uneven.clips == pytest.approx(32**2 / 902)


def test_the_recent_frames_are_those_of_the_last_blocks():
    made = Served(IDENTITY, EDGES)
    completed = [made.add(seen(BLOCK, seed)) for seed in range(RECENT + 3)]
    assert all(completed)
    expected = Tally()
    for seed in range(3, RECENT + 3):
        expected.add(seen(BLOCK, seed), EDGES)
    assert made.recent().frames == RECENT * BLOCK == expected.frames
    np.testing.assert_allclose(made.recent().moments.scatter, expected.moments.scatter)
    assert made.total.frames == (RECENT + 3) * BLOCK


def test_a_block_is_complete_once():
    made = Served(IDENTITY, EDGES)
    assert [made.add(seen(BLOCK // 2, seed)) for seed in range(4)] == [False, True, False, True]
    assert [block.frames for block in made.blocks] == [BLOCK, BLOCK]


def test_what_was_saved_comes_back_to_the_last_bit(filled, tmp_path):
    path = tmp_path / "served" / "3.npz"
    filled.save(path)
    found = served_statistics.load(path)
    assert (found.identity, found.since, found.updated) == (
        IDENTITY,
        filled.since,
        filled.updated,
    )
    assert found.timeline == filled.timeline
    assert filled.timeline
    equal(found.total, filled.total)
    equal(found.recent(), filled.recent())
    assert [path.name for path in path.parent.iterdir()] == ["3.npz"]
    found.add(seen(40, 99))
    filled.add(seen(40, 99))
    equal(found.total, filled.total)


def test_nothing_in_the_file_is_pickled(filled, tmp_path):
    filled.save(tmp_path / "3.npz")
    with np.load(tmp_path / "3.npz", allow_pickle=False) as file:
        assert json.loads(file["json"].tobytes())["identity"]["version"] == 3


@pytest.mark.parametrize("content", [None, b"", b"no archive", "truncated"])
def test_what_cannot_be_read_is_no_state(filled, tmp_path, content):
    path = tmp_path / "3.npz"
    filled.save(path)
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "truncated" else content)
    assert served_statistics.load(path) is None


def test_a_save_that_fails_leaves_the_former_state(filled, tmp_path, monkeypatch):
    path = tmp_path / "3.npz"
    filled.save(path)
    filled.add(seen(40, 50))

    def fail(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        filled.save(path)
    assert served_statistics.load(path).total.frames == 480


def test_the_timeline_stays_short(filled):
    for _ in range(3 * LONGEST_TIMELINE):
        filled.mark(1.0)
    assert len(filled.timeline) <= LONGEST_TIMELINE
    assert filled.timeline[-1].frames == 480


def test_several_requests_for_stills_count_as_one_request_for_all_of_them():
    parts = [seen(num, seed, is_clip=False) for seed, num in enumerate((3, 1, 4))]
    bare = replace(parts[0], features=())
    one, each = Tally(), Tally()
    one.add(served_statistics.together([*parts, bare]), EDGES)
    for part in (*parts, bare):
        each.add(part, EDGES)
    assert (one.frames, one.squares, one.alarms) == (each.frames, each.squares, each.alarms)
    assert np.array_equal(one.p_values, each.p_values)
    assert np.array_equal(one.scores, each.scores)
    np.testing.assert_allclose(one.moments.mean, each.moments.mean)
    np.testing.assert_allclose(one.moments.scatter, each.moments.scatter)
    assert served_statistics.together([bare]) is bare
