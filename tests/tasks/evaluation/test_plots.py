import io

import numpy as np
import pandas as pd
from PIL import Image

from tasks.evaluation import plots

RANDOM = np.random.default_rng(0)


def table(kinds, frames):
    rows = [
        (f"{kind}/{clip}", kind, frame, int((kind != "good" and 5 <= frame < 15) or frames == 1))
        for clip, kind in enumerate(kinds)
        for frame in range(frames)
    ]
    scores = pd.DataFrame(rows, columns=["clip", "kind", "frame", "label"])
    scores.loc[scores["kind"] == "good", "label"] = 0
    return scores.assign(image_score=scores["label"] + RANDOM.random(len(scores)))


def drawn(figure):
    """Pixels of a figure; not empty means that they are of several colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer)
    pixels = np.asarray(Image.open(buffer).convert("RGB"))
    assert len(np.unique(pixels.astype(int) @ [1, 256, 65536])) > 20
    return pixels


def texts(figure):
    from matplotlib.text import Text

    return {text.get_text() for text in figure.findobj(Text)}


CLIPS = table(["good", "good", "cart", "bike"], 20)
STILLS = table(["good"] * 6 + ["crack"] * 5, 1)


def test_the_roc_tells_the_area_of_each_kind_and_where_the_threshold_is():
    figure = plots.roc(CLIPS, 0.9)
    drawn(figure)
    assert {"at threshold", "1.000 all", "1.000 cart", "1.000 bike"} <= texts(figure)


def test_the_roc_of_one_class_says_that_there_is_none():
    assert any("Undefined" in text for text in texts(plots.roc(CLIPS[CLIPS["label"] == 0], 0.9)))


def test_the_timeline_shades_what_the_ground_truth_calls_anomalous():
    figure = plots.timeline(CLIPS, 0.9)
    drawn(figure)
    assert {"cart/2", "bike/3", "good/0", "good/1", "frame", "threshold"} <= texts(figure)
    by_name = {ax.get_title(loc="left"): ax for ax in figure.axes}
    [span] = by_name["cart/2"].patches
    assert (span.get_x(), span.get_width()) == (4.5, 10.0)
    assert not by_name["good/0"].patches


def test_a_timeline_of_many_clips_says_how_many_it_leaves_out():
    figure = plots.timeline(table(["good"] * 30, 3), 0.9)
    assert any("(24 of 30 clips)" in text for text in texts(figure))


def test_scores_of_still_images_are_shown_by_kind():
    figure = plots.scores_by_kind(STILLS, 0.9)
    drawn(figure)
    assert {"good", "crack", "threshold 0.9"} <= texts(figure)


def test_the_style_of_others_is_left_alone():
    import matplotlib as mpl

    before = mpl.rcParams["axes.spines.top"]
    plots.roc(CLIPS, 0.9)
    assert mpl.rcParams["axes.spines.top"] == before


def test_dollars_in_names_are_no_formulas():
    from tasks.evaluation.pictures import Picture, gallery

    odd = "$\\frac{$a^_[x]"
    scores = table(["good", odd], 20).assign(clip=lambda t: t["kind"] + "/$^$")
    stills = table(["good"] * 6 + [odd] * 5, 1)
    shown = Picture(
        clip=f"{odd}/{odd}",
        frame=None,
        label=True,
        image_score=1.0,
        image=RANDOM.integers(0, 256, (20, 20), dtype=np.uint8),
        anomaly_map=RANDOM.random((20, 20)),
        mask=None,
    )
    figures = [plots.roc(scores, 0.5), plots.timeline(scores, 0.5)]
    figures += [plots.scores_by_kind(stills, 0.5), gallery([(odd, [shown])])]
    for figure in figures:
        drawn(figure)
    assert all(any(odd in text for text in texts(figure)) for figure in figures[2:])
