import numpy as np

from tasks.serving.monitoring import drift_plots
from tests.tasks.drifting import report, shown


def axes_of(figure):
    return figure.get_axes()


def test_the_picture_shows_p_values_and_the_distance_over_time():
    left, right = axes_of(drift_plots.drift(report()))
    assert [patch.get_label() for patch in left.patches] == ["since it serves", "recent"]
    assert np.allclose(left.patches[1].get_data().values, 1 / 20)
    line, limit, _ = right.get_lines()
    assert line.get_ydata().tolist() == [0.6, 3.0]
    assert limit.get_ydata()[0] == 2.0


def test_without_a_gaussian_the_picture_says_so():
    bare = report(recent=shown(100, distance=None), timeline=(), limit=None, typical=None)
    _, right = axes_of(drift_plots.drift(bare))
    assert "no Gaussian" in right.texts[0].get_text()
