import numpy as np
import pytest

from tasks.evaluation import pictures
from tasks.evaluation.pictures import Picture
from tests.tasks.evaluation.test_plots import CLIPS, RANDOM, STILLS, drawn, texts


def a_picture(*, colour=False, localised=True, frame=7, clip="cart/1"):
    mask = np.zeros((20, 30), bool)
    mask[5:10, 5:10] = True
    return Picture(
        clip=clip,
        frame=frame,
        label=True,
        image_score=2.0,
        image=RANDOM.integers(0, 256, (3, 20, 30) if colour else (20, 30), dtype=np.uint8),
        anomaly_map=RANDOM.random((20, 30)) if localised else None,
        mask=mask if localised else None,
    )


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("localised", [False, True])
def test_pictures_are_drawn_in_gray_and_colour_with_and_without_maps(colour, localised):
    shown = [a_picture(colour=colour, localised=localised)] * 3
    figure = pictures.gallery([("Above", shown), ("Empty", []), ("Below", shown[:1])])
    drawn(figure)
    assert {"Above", "Below"} <= texts(figure)
    assert "Empty" not in texts(figure)


def test_the_picture_of_a_result_holds_frames_timelines_and_the_roc():
    figure = pictures.result_picture(
        "carts: frame AUC 1", [a_picture()] * 2, CLIPS.replace("cart/2", "cart/1"), 0.9
    )
    pixels = drawn(figure)
    assert pixels.shape[1] == 1600
    assert {"carts: frame AUC 1", "cart/1, frame 7", "at threshold", "frame"} <= texts(figure)


def test_the_picture_of_a_result_of_still_images_has_no_timeline():
    figure = pictures.result_picture("cracks", [a_picture()], STILLS, 0.9)
    drawn(figure)
    assert "image score" not in texts(figure)


@pytest.mark.parametrize("localised", [False, True])
def test_a_result_without_maps_and_masks_shows_each_image_once(localised):
    shown = [a_picture(localised=localised)] * 2
    figure = pictures.result_picture("cracks", shown, STILLS, 0.9)
    drawn(figure)
    assert ("anomaly map" in texts(figure)) is localised
    images = [ax for part in figure.subfigs[0:1] for ax in part.axes]
    assert len(images) == (4 if localised else 2)


def test_long_names_are_cut_and_images_have_no_frame_number():
    assert a_picture(clip="crack/000", frame=None).name == "crack/000"
    name = a_picture(clip="crack/" + 40 * "x").name
    assert len(name) == 28
    assert name.endswith("\u2026")
