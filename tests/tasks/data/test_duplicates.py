from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tasks.data import duplicates, images


def scene(seed, size=(120, 160)):
    """Smooth noise, as photographs have it."""
    noise = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(6))) * 1


def saved_again(pixels, quality=60):
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return images.read(file.getvalue(), 1)


def test_what_was_saved_again_or_resized_is_found_and_nothing_else():
    scenes = [scene(seed) for seed in range(6)]
    smaller = np.asarray(Image.fromarray(scenes[4]).resize((120, 90)))
    prints = [duplicates.fingerprint(each) for each in [*scenes, saved_again(scenes[1]), smaller]]
    assert duplicates.pairs(prints) == [(1, 6), (4, 7)]


def test_a_part_in_the_same_place_is_no_duplicate():
    random = np.random.default_rng(0)
    part = np.zeros((64, 64), np.uint8)
    part[16:48, 16:48] = 180
    shots = [np.clip(part + random.normal(0, 20, part.shape), 0, 255).astype(np.uint8)]
    scratched = shots[0].copy()
    scratched[20:44, 30:34] = 20
    prints = [duplicates.fingerprint(each) for each in (shots[0], scratched)]
    assert duplicates.pairs(prints) == []


@pytest.mark.parametrize("count", [0, 1])
def test_there_is_nothing_to_compare_with(count):
    assert duplicates.pairs([duplicates.fingerprint(scene(0))] * count) == []


def test_pairs_are_the_same_in_blocks_of_any_size(monkeypatch):
    prints = [duplicates.fingerprint(scene(seed % 5)) for seed in range(11)]
    whole = duplicates.pairs(prints)
    assert len(whole) == 3 + 4 * 1
    monkeypatch.setattr(duplicates, "BLOCK", 3)
    assert sorted(duplicates.pairs(prints)) == sorted(whole)


def test_groups_are_named_by_their_first_member():
    assert duplicates.groups(6, [(1, 3), (3, 5), (0, 2)]) == [0, 1, 0, 1, 4, 1]
    assert duplicates.groups(3, []) == [0, 1, 2]
