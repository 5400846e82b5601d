import numpy as np

from tasks.evaluation.gallery import Gallery
from tasks.evaluation.scoring import Scored
from tasks.packaging.detector import Prediction


def part(clip, scores, labels, first=0):
    """A scored part of a clip whose frames are one pixel of the frame's number."""
    numbers = np.arange(len(scores)) + first
    return Scored(
        still=False,
        clips=(clip,) * len(scores),
        kinds=(clip.split("/")[0],) * len(scores),
        numbers=numbers,
        frames=numbers.astype(np.uint8)[:, None, None],
        labels=np.array(labels, bool),
        masks=None,
        prediction=Prediction(
            frame_index=numbers,
            image_score=np.array(scores, float),
            p_value=np.ones(len(scores)),
            anomalous=np.zeros(len(scores), bool),
        ),
        seconds=0.0,
    )


def places(pictures):
    return [(picture.clip, picture.frame) for picture in pictures]


def test_a_clip_gives_two_pictures_that_are_apart():
    gallery = Gallery()
    gallery.update(part("cart/1", np.arange(100), np.ones(100)))
    assert places(gallery.detected) == [("cart/1", 99), ("cart/1", 84)]
    assert places(gallery.missed) == [("cart/1", 0), ("cart/1", 15)]
    assert gallery.alarming == []


def test_the_best_of_all_parts_are_kept_in_order():
    gallery = Gallery(num_detected=3, num_others=1)
    for clip, score in (("cart/1", 2), ("cart/2", 5), ("bike/1", 1), ("bike/2", 4)):
        gallery.update(part(clip, [score, -score], [1, 0]))
    assert places(gallery.detected) == [("cart/2", 0), ("bike/2", 0), ("cart/1", 0)]
    assert places(gallery.alarming) == [("bike/1", 1)]
    assert places(gallery.missed) == [("bike/1", 0)]


def test_parts_of_one_clip_share_its_two_places():
    gallery = Gallery()
    gallery.update(part("cart/1", np.ones(40), np.ones(40)))
    gallery.update(part("cart/1", np.full(40, 2.0), np.ones(40), first=40))
    assert places(gallery.detected) == [("cart/1", 40), ("cart/1", 55)]


def test_highlights_show_as_many_kinds_as_possible():
    gallery = Gallery()
    for clip, score in (("cart/1", 9), ("cart/2", 8), ("bike/1", 1)):
        gallery.update(part(clip, [score, -1], [1, 0]))
    assert places(gallery.highlights(2)) == [("cart/1", 0), ("bike/1", 0)]
    assert len(gallery.highlights(4)) == 3


def test_pictures_do_not_hold_the_part_they_are_from():
    gallery = Gallery()
    gallery.update(part("cart/1", np.arange(50), np.ones(50)))
    assert all(picture.image.base is None for picture in gallery.detected)


def test_without_anomalies_the_highlights_are_normal_frames():
    gallery = Gallery()
    gallery.update(part("good/1", np.arange(50), np.zeros(50)))
    assert places(gallery.highlights(1)) == [("good/1", 49)]
