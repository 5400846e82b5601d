import numpy as np
import pytest

from tasks.data.sources.raster import TURN, UNIT, Draws, draw, extent
from tasks.data.sources.walkway_body import RUN, Body, Dress, walk
from tasks.data.sources.walkway_figures import cart, cyclist, person, person_front

HEIGHT, GROUND = 40 * UNIT, (100 * UNIT, 80 * UNIT)
DRESS = Dress.drawn(Draws(7), sporty=True)


def figures(direction, phase):
    body = Body(HEIGHT, direction, DRESS)
    return {
        "walker": person(GROUND, body, walk(50), phase),
        "runner": person(GROUND, body, RUN, phase),
        "facing": person_front(GROUND, body, phase, facing=True),
        "leaving": person_front(GROUND, body, phase, facing=False),
        "cyclist": cyclist(GROUND, body, phase, 90),
        "cart": cart(GROUND, body, phase, 120),
    }


NAMES = sorted(figures(1, 0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("phase", [0, 300, 700])
def test_figures_stand_on_their_ground_point(name, phase):
    _, top, _, bottom = extent(figures(1, phase)[name])
    assert 80 - 5 <= bottom <= 80 + 4
    assert 34 <= bottom - top <= 52


@pytest.mark.parametrize("name", NAMES)
def test_figures_move_with_their_phase(name):
    first, second = (draw(figures(1, phase)[name]) for phase in (0, TURN // 4))
    assert first.gray.shape != second.gray.shape or not np.array_equal(first.gray, second.gray)


@pytest.mark.parametrize("name", ["walker", "runner", "cyclist", "cart"])
def test_figures_facing_left_mirror_those_facing_right(name):
    right, left = (draw(figures(side, 200)[name]) for side in (1, -1))
    centre = GROUND[0] // UNIT
    x = np.arange(right.cover.shape[1]) + right.left + 0.5 - centre
    mirrored = np.arange(left.cover.shape[1]) + left.left + 0.5 - centre
    balance = (right.cover.sum(0) * x).sum() / right.cover.sum()
    assert (left.cover.sum(0) * mirrored).sum() / left.cover.sum() == pytest.approx(
        -balance, abs=0.3
    )
    assert left.cover.sum() == pytest.approx(right.cover.sum(), rel=0.02)


def test_a_cart_is_larger_than_a_cyclist_and_a_cyclist_than_a_walker():
    area = {name: draw(parts).cover.sum() for name, parts in figures(1, 100).items()}
    assert area["cart"] > area["cyclist"] > area["walker"]


def test_who_leaves_shows_no_face():
    shown = figures(1, 0)
    assert len(shown["facing"]) == len(shown["leaving"]) + 1
