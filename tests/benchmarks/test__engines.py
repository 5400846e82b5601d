import os

import numpy as np
import psutil

from benchmarks._engines import BATCH, Frames, Way, burned
from benchmarks.throughput import _figures
from models.contracts import WINDOW


def test_cores_burn_only_as_long_as_they_are_asked_to():
    before = set(psutil.Process().children())
    with burned():
        burning = set(psutil.Process().children()) - before
        assert len(burning) == os.cpu_count()
        assert all(each.is_running() for each in burning)
    assert not any(each.is_running() for each in burning)


def test_frames_give_every_window_once():
    frames = np.arange(BATCH + WINDOW + 2, dtype=np.uint8)[:, None, None].repeat(4, axis=1)
    found = np.concatenate([batch.numpy() for batch in Frames(frames)])
    assert found.shape == (BATCH + 3, WINDOW, 4, 1)
    assert np.allclose(found[:, 0, 0, 0] * 255, np.arange(BATCH + 3))


def test_figures_are_images_a_second_or_milliseconds_an_image():
    done = []
    ways = {
        "a_ips": Way(4, lambda: done.append("a")),
        "b_ms_single": Way(4, lambda: done.append("b")),
    }
    found = _figures(ways, 3)
    assert done == ["a", "b"] * 4
    assert found["a_ips"] > 1000
    assert 0 < found["b_ms_single"] < 1
