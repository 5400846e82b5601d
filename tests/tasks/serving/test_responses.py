import base64
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks.packaging.calibration import Calibration
from tasks.packaging.detector import Prediction
from tasks.serving.responses import MAX_REGIONS, Region, draw, find_regions, scored


@pytest.fixture
def deployed():
    """What an answer takes from a deployed detector."""
    lineage = {"run_id": "7", "data": {"name": "squares", "digest": "0.dir"}}
    calibration = Calibration(
        image_score=np.array([0.0, 1.0]), clip=np.arange(2), region_score=np.array([4.0, 12.0])
    )
    packaged = SimpleNamespace(
        threshold=9.0, pixel_threshold=5.0, lineage=lineage, calibration=calibration
    )
    return SimpleNamespace(name="squares", version=3, packaged=packaged)


def prediction(anomaly_map=None):
    return Prediction(
        frame_index=np.array([5, 6]),
        image_score=np.array([1.0, 3.0]),
        p_value=np.array([0.5, 0.125]),
        anomalous=np.array([False, True]),
        threshold=2.0,
        q_value=np.array([0.5, 0.25]),
        clip_p_value=0.75,
        anomaly_map=anomaly_map,
    )


def values_of(drawn):
    return np.asarray(Image.open(BytesIO(base64.b64decode(drawn.png))))


def test_each_scored_frame_gets_its_own_numbers(deployed):
    found = scored(deployed, prediction(), "id")
    assert (found.model, found.version, found.run_id, found.request_id) == ("squares", 3, "7", "id")
    assert (found.data.name, found.data.digest) == ("squares", "0.dir")
    assert [(each.frame, each.image_score, each.p_value) for each in found.frames] == [
        (5, 1.0, 0.5),
        (6, 3.0, 0.125),
    ]
    assert [each.anomalous for each in found.frames] == [False, True]
    assert [each.q_value for each in found.frames] == [0.5, 0.25]
    assert (found.clip_p_value, found.calibration_clips) == (0.75, 2)
    assert [each.threshold for each in found.frames] == [2.0, 2.0]
    assert [(each.anomaly_map, each.regions) for each in found.frames] == [(None, None)] * 2


def test_maps_belong_to_their_frames(deployed):
    maps = np.zeros((2, 4, 5), np.float32)
    maps[1, 2, 3] = 10.0
    first, second = scored(deployed, prediction(maps), "id").frames
    assert first.regions == ()
    assert second.regions == (Region(left=3, top=2, width=1, height=1, score=10.0, p_value=2 / 3),)
    assert values_of(second.anomaly_map)[2, 3] == 255


def test_a_map_is_drawn_from_its_lowest_to_its_highest_score(deployed):
    drawn = draw(np.array([[-1.0, 0.0], [1.5, 4.0]], np.float32), deployed.packaged)
    assert (drawn.low, drawn.high, drawn.threshold) == (-1.0, 4.0, 5.0)
    assert values_of(drawn).tolist() == [[0, 51], [128, 255]]


def test_a_flat_map_is_drawn_black(deployed):
    drawn = draw(np.full((2, 2), 0.25, np.float32), deployed.packaged)
    assert (drawn.low, drawn.high) == (0.25, 0.25)
    assert not values_of(drawn).any()


def test_regions_are_connected_and_the_highest_comes_first():
    anomaly_map = np.zeros((6, 9), np.float32)
    anomaly_map[0:2, 1:4] = 5.0
    anomaly_map[4, 6] = 8.0
    anomaly_map[5, 7] = 6.0
    assert find_regions(anomaly_map, 5.0) == (
        Region(left=6, top=4, width=2, height=2, score=8.0),
        Region(left=1, top=0, width=3, height=2, score=5.0),
    )
    assert find_regions(anomaly_map, 8.5) == ()
    peak = (Region(left=6, top=4, width=1, height=1, score=8.0),)
    assert find_regions(anomaly_map, 8.5, alarm=True) == peak  # an alarm is somewhere
    assert len(find_regions(anomaly_map, 5.0, alarm=True)) == 2


def test_a_map_above_the_threshold_everywhere_is_one_region():
    found = find_regions(np.ones((3, 4), np.float32), 1.0)
    assert found == (Region(left=0, top=0, width=4, height=3, score=1.0),)


def test_a_speckled_map_does_not_flood_the_answer():
    anomaly_map = np.zeros((60, 60), np.float32)
    anomaly_map[::2, ::2] = np.arange(900).reshape(30, 30) + 1
    found = find_regions(anomaly_map, 1.0)
    assert [region.score for region in found] == list(range(900, 900 - MAX_REGIONS, -1))


def test_a_clusterer_answers_with_the_cluster_and_its_probability(deployed):
    assignment = np.array([[0.25, 0.75], [1.0, 0.0]])
    found = scored(deployed, replace(prediction(), soft_assignment=assignment), "id").frames
    assert [each.cluster for each in found] == [1, 0]
    assert [each.soft_assignment for each in found] == [(0.25, 0.75), (1.0, 0.0)]
    alone = scored(deployed, prediction(), "id").frames
    assert [(each.cluster, each.soft_assignment) for each in alone] == [(None, None)] * 2
