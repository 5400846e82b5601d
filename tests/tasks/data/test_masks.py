import json

import numpy as np
import pytest
from PIL import Image

from tasks.data import images, masks
from tests.tasks.data.test_images import with_orientation
from tests.tasks.pictures import save

MARKED = np.zeros((12, 16), bool)
MARKED[2:5, 3:9] = True
GRAY = MARKED.astype(np.uint8) * 255


def palette(first, second):
    """Marked pixels have the second entry."""
    image = Image.fromarray(MARKED.astype(np.uint8), mode="P")
    image.putpalette([*first, *second])
    return image


CLEAN = {
    "1": Image.fromarray(MARKED),
    "L": Image.fromarray(GRAY),
    "0 and 1": Image.fromarray(MARKED.astype(np.uint8)),
    "RGB": Image.fromarray(np.dstack([GRAY] * 3)),
    "red": Image.fromarray(np.dstack([GRAY, GRAY * 0, GRAY * 0])),
    "opaque RGBA": Image.fromarray(np.dstack([GRAY, GRAY, GRAY, GRAY * 0 + 255])),
    "transparent RGBA": Image.fromarray(np.dstack([GRAY, GRAY, GRAY, 255 - GRAY])),
    "LA": Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(GRAY * 0 + 255)]),
    "palette": palette((0, 0, 0), (255, 255, 255)),
    "16 bits": Image.fromarray(MARKED.astype(np.uint16) * 65535),
    "16 bits, 0 and 1": Image.fromarray(MARKED.astype(np.uint16)),
}


@pytest.mark.parametrize("kind", CLEAN)
def test_a_mask_marks_what_is_bright(tmp_path, kind):
    CLEAN[kind].save(tmp_path / "m.png")
    mask = masks.read(tmp_path / "m.png")
    assert np.array_equal(mask.marked, MARKED)
    assert mask.levels == 2


def test_a_palette_is_read_by_its_colours(tmp_path):
    palette((255, 255, 255), (0, 0, 0)).save(tmp_path / "m.png")
    assert np.array_equal(masks.read(tmp_path / "m.png").marked, ~MARKED)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_an_opaque_black_mask_marks_nothing(tmp_path, mode):
    Image.new(
        mode, (16, 12), {"L": 0, "RGB": (0,) * 3, "RGBA": (0, 0, 0, 255), "LA": (0, 255)}[mode]
    ).save(tmp_path / "m.png")
    assert masks.read(tmp_path / "m.png").share == 0


def test_a_white_mask_marks_everything(tmp_path):
    assert masks.read(save(tmp_path / "m.png", np.full((4, 4), 255, np.uint8))).share == 1


def test_a_mask_of_many_levels_is_cut_at_half(tmp_path):
    large = np.kron(GRAY, np.ones((7, 7), np.uint8))
    Image.fromarray(large).save(tmp_path / "m.jpg", quality=80)
    mask = masks.read(tmp_path / "m.jpg")
    assert mask.levels > 2
    assert np.array_equal(mask.marked, large > 0)


def test_numbers_of_classes_are_all_marked(tmp_path):
    classes = MARKED.astype(np.uint8)
    classes[3] *= 3
    assert np.array_equal(masks.read(save(tmp_path / "m.png", classes)).marked, MARKED)


def test_a_mask_is_turned_as_people_see_it(tmp_path):
    path = with_orientation(tmp_path / "m.png", GRAY, 6)
    assert np.array_equal(masks.read(path).marked, np.rot90(MARKED, -1))


def test_a_file_that_is_no_mask_says_why():
    with pytest.raises(images.UnreadableError, match="no image"):
        masks.read(b"nothing")


def test_a_mask_is_resized_by_its_nearest_pixels():
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = True
    larger = masks.resize(mask, (8, 12))
    assert (larger == np.kron(mask, np.ones((2, 2), bool))).all()
    assert (masks.resize(larger, (4, 6)) == mask).all()
    assert (masks.resize(mask, (4, 6)) == mask).all()


def test_polygons_mark_what_lies_in_them(tmp_path):
    path = tmp_path / "roi.json"
    shapes = [{"label": "belt", "points": [[3, 2], [8, 2], [8, 4], [3, 4]]}]
    path.write_text(json.dumps({"imageHeight": 12, "imageWidth": 16, "shapes": shapes}))
    assert np.array_equal(masks.read(path).marked, MARKED)
    assert masks.read(path).levels == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"shapes": []}',
        '{"a',
        '{"imageHeight": 9, "imageWidth": 9, "shapes": [{"points": [[1, 2]]}]}',
    ],
)
def test_what_is_no_polygon_is_refused(text):
    with pytest.raises(images.UnreadableError, match="polygons must"):
        masks.read(text.encode())
