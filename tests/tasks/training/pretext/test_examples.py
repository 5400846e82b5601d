import numpy as np
import torch

from tasks.training.pretext.examples import GAP, SMALLEST, TITLE, sheet


def test_every_image_is_on_the_sheet_under_its_title():
    dark, bright = torch.zeros(2, 1, 100, 120), torch.ones(2, 1, 100, 120)
    made = np.asarray(sheet({"dark": dark, "bright": bright}).convert("L")).astype(int)
    assert made.shape == (2 * (100 + TITLE + GAP), 2 * (120 + GAP) + GAP)
    assert (made[TITLE : TITLE + 100, GAP : GAP + 120] == 0).all()
    assert made[:TITLE].min() < 128  # the title


def test_colours_are_kept_and_the_last_of_many_channels_is_shown():
    red = torch.zeros(1, 3, 100, 100)
    red[:, 0] = 1
    window = torch.zeros(1, 6, 100, 100)
    window[:, -1] = 1
    made = np.asarray(sheet({"red": red, "window": window}))
    assert made[TITLE + 50, GAP + 50].tolist() == [255, 0, 0]
    assert made[TITLE + 100 + GAP + TITLE + 50, GAP + 50].tolist() == [255, 255, 255]


def test_small_images_are_enlarged_so_that_one_can_see_them():
    made = sheet({"digits": torch.zeros(3, 1, 8, 8)})
    assert made.width == 3 * (SMALLEST + GAP) + GAP
