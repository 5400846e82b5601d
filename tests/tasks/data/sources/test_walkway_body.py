import math

import pytest

from tasks.data.sources.raster import TURN, Draws
from tasks.data.sources.walkway_body import LEG, RUN, Body, Dress, walk

HEIGHT = 40_000


@pytest.fixture
def body():
    return Body(HEIGHT, 1, Dress.drawn(Draws(1)))


@pytest.mark.parametrize("phase", range(0, TURN, 128))
@pytest.mark.parametrize("gait", [walk(50), RUN])
def test_thigh_and_shin_keep_their_length(body, gait, phase):
    hip, knee, ankle, _ = body.leg((0, 0), gait, phase)
    assert math.dist(hip, knee) == pytest.approx(HEIGHT * LEG // 2 / 1000, rel=0.01)
    assert math.dist(knee, ankle) == pytest.approx(HEIGHT * LEG // 2 / 1000, rel=0.01)


def test_the_knee_bends_forwards_only(body):
    for phase in range(0, TURN, 16):
        hip, knee, ankle, _ = body.leg((0, 0), RUN, phase)
        thigh, shin = (knee[0] - hip[0], knee[1] - hip[1]), (ankle[0] - knee[0], ankle[1] - knee[1])
        assert thigh[0] * shin[1] - thigh[1] * shin[0] >= 0


def test_a_stride_is_as_long_as_the_feet_reach(body):
    gait = walk(56)
    feet = [body.leg((0, 0), gait, phase)[2][0] for phase in range(0, TURN, 8)]
    assert gait.stride(HEIGHT) == pytest.approx(2 * (max(feet) - min(feet)), rel=0.25)
    assert gait.stride(HEIGHT) < RUN.stride(HEIGHT)


def test_facing_left_mirrors_facing_right(body):
    left = Body(HEIGHT, -1, body.dress)
    for ours, theirs in zip(body.leg((0, 0), RUN, 99), left.leg((0, 0), RUN, 99), strict=True):
        assert (ours[0], ours[1]) == (-theirs[0], theirs[1])


def test_sports_people_wear_neither_coat_nor_bag():
    for seed in range(40):
        dress = Dress.drawn(Draws(seed), sporty=True)
        assert (dress.coat, dress.bag) == (0, 0)


def test_the_crowd_is_varied():
    crowd = [Dress.drawn(Draws(seed)) for seed in range(60)]
    assert len({dress.shirt // 20 for dress in crowd}) >= 8
    assert {dress.bag for dress in crowd} == {0, 1, 2}
    assert 0 < sum(dress.coat > 0 for dress in crowd) < 60
