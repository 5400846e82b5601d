import numpy as np
import pytest
import torch
from torchvision.io import write_png

from benchmarks import stills
from benchmarks._rows import Rows


@pytest.fixture
def folder(tmp_path):
    """A set of two normal and three anomalous test images, one of them without a mask."""
    draw = torch.Generator().manual_seed(0)
    for kind, num in (("train/good", 3), ("test/good", 2), ("test/hole", 2), ("test/lost", 1)):
        (tmp_path / kind).mkdir(parents=True)
        for number in range(num):
            image = torch.randint(255, (3, 20, 30), generator=draw).byte()
            write_png(image, str(tmp_path / kind / f"{number}.png"))
    (tmp_path / "ground_truth" / "hole").mkdir(parents=True)
    mask = torch.zeros(1, 20, 30, dtype=torch.uint8)
    mask[:, :10] = 255
    for number in range(2):
        write_png(mask, str(tmp_path / "ground_truth" / "hole" / f"{number}_mask.png"))
    return tmp_path


def test_a_set_is_read_with_the_masks_that_there_are(folder):
    found = stills.read(folder, None)
    assert found.train.shape == (3, 3, 320, 320)
    assert found.anomalous.tolist() == [False, False, True, True, True]
    assert found.masked.tolist() == [True, True, True, True, False]
    assert found.masks.mean(axis=(1, 2)).tolist() == [0, 0, 0.5, 0.5, 0]
    assert len(stills.read(folder, 1).test) == 3


def test_images_without_a_known_mask_count_for_images_only(folder):
    found = stills.read(folder, None)
    maps = found.masks.astype(np.float32)
    maps[4] = 9.0
    perfect = stills.figures(np.array([0, 1, 2, 3, 4.0]), maps, found)
    assert perfect == pytest.approx({"image_auroc": 1.0, "pixel_auroc": 1.0, "aupro": 1.0})
    assert set(stills.figures(np.zeros(5), None, found)) == {"image_auroc"}


def test_regret_is_what_the_choice_has_cost(tmp_path):
    rows = Rows({}, tmp_path)
    for seed, chosen in ((0, 0), (1, 1)):
        for place, method in enumerate(stills.METHODS):
            rows.add(method, "cookies", seed, {"image_auroc": 0.9 - 0.1 * place, "fit_s": 1 + seed})
        rows.add("auto", "cookies", seed, {"chosen": chosen, "margin": 0.1})
    found = stills.named(rows)
    assert found["auto_regret_mean"] == pytest.approx(0.05)
    assert found["cookies_padim_image_auroc"] == pytest.approx(0.9)
    assert found["cookies_padim_fit_s"] == 1


def test_one_seed_gives_no_deviation(tmp_path):
    rows = Rows({}, tmp_path)
    for seed, auroc in ((0, 0.9), (1, 0.7)):
        rows.add("padim", "cookies", seed, {"image_auroc": auroc, "margin": auroc})
        found = stills.named(rows)
        assert ("cookies_padim_image_auroc_std" in found) == bool(seed)
    assert found["cookies_padim_image_auroc_std"] == pytest.approx(0.1 * 2**0.5)
    assert "cookies_padim_margin_std" not in found
