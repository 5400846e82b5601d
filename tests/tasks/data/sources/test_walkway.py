import dataclasses
import hashlib
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from tasks.data.sources import walkway
from tasks.data.sources.walkway_scene import Scene
from tests.tasks.data.sources.generated import digest

DIGEST = "3ee311dd6944886f145ea50a9fca05c7439cbf0b14985998dba4a22e603fcbff"
"""Of the bytes that ``data.dvc`` names."""
FRAMES = {
    "train/good/01/000.png": "7d4a7f13e28c1ecc1fe1aedeb1fc31b3",
    "test/cart/02/029.png": "f7c85017276747bdaa8f0efcc577c1cf",
    "ground_truth/cart/02/029.png": "7a81e0c1d083f358976368ecc7bf3dfd",
}
INTRUDERS = [kind for kind in walkway.KINDS if kind != "good"]

CART = walkway.Clip(split="test", kind="cart", number=1, frames=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walkway")
    walkway.write(folder)
    return folder


@pytest.fixture(scope="module")
def files(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def masks(folder, kind, number):
    paths = sorted((folder / "ground_truth" / kind / f"{number:02d}").iterdir())
    return np.stack([read(path) for path in paths])


def test_the_whole_set_is_the_same_to_the_byte_on_every_machine(folder, files):
    assert {name: hashlib.sha256(files[name]).hexdigest()[:32] for name in FRAMES} == FRAMES
    assert digest(folder) == DIGEST


def test_the_layout_is_the_canonical_one(files):
    expected = {
        f"{clip.split}/{clip.name}/{t:03d}.png"
        for clip in walkway.clips()
        for t in range(clip.frames)
    }
    truth = {
        f"ground_truth/{kind}/{number:02d}/{t:03d}.png"
        for kind in INTRUDERS
        for number in (1, 2)
        for t in range(walkway.TEST_FRAMES)
    }
    assert set(files) == expected | truth
    assert sum(name.startswith("train/good/") for name in files) == 600
    assert sum(name.startswith("test/") for name in files) == 300


def test_the_set_is_small_enough_to_be_embedded(files):
    assert 20e6 < sum(map(len, files.values())) < 40e6


def test_no_two_frames_are_equal(files):
    frames = [data for name, data in files.items() if not name.startswith("ground_truth")]
    assert len(set(frames)) == len(frames)


@pytest.mark.parametrize(
    "clip", walkway.clips()[::-4], ids=lambda clip: f"{clip.split}-{clip.name}"
)
def test_pillow_reads_the_pixels_of_a_clip_that_was_rendered_alone(folder, clip):
    [frame, mask] = list(walkway.render(Scene(walkway.SEED), clip))[24]
    assert frame.shape == (160, 240)
    assert np.array_equal(read(folder / clip.split / clip.name / "024.png"), frame)
    if clip.kind != "good":
        assert mask.any()
        assert np.array_equal(read(folder / "ground_truth" / clip.name / "024.png"), mask)


@pytest.mark.parametrize("kind", INTRUDERS)
@pytest.mark.parametrize("number", [1, 2])
def test_every_clip_starts_normal_and_turns_anomalous(folder, kind, number):
    pixels = masks(folder, kind, number).sum(axis=(1, 2))
    assert not pixels[: walkway.TEST_FRAMES // 5].any()
    assert (pixels[-12:] >= walkway.MIN_VISIBLE).all()


def test_a_mask_is_empty_or_large_enough_to_count(folder):
    sizes = chain.from_iterable(
        masks(folder, kind, number).sum(axis=(1, 2)).tolist()
        for kind in INTRUDERS
        for number in (1, 2)
    )
    assert all(size == 0 or size >= walkway.MIN_VISIBLE for size in sizes)


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("runner", 3, 6), ("cyclist", 4, 6.5), ("cart", 5, 8)]
)
def test_intruders_along_the_walkway_are_faster_than_walkers(folder, kind, least, most):
    for number in (1, 2):
        shown = masks(folder, kind, number)
        fronts = [
            columns.max() if number == 1 else columns.min()
            for mask in shown
            if len(columns := np.flatnonzero(mask.sum(0) > 2)) and 40 < columns.mean() < 190
        ]
        assert len(fronts) >= 5
        assert least <= abs(fronts[-1] - fronts[0]) / (len(fronts) - 1) <= most


def test_who_crosses_moves_up_or_down(folder):
    for number in (1, 2):
        shown = [mask for mask in masks(folder, "crossing", number) if mask.any()]
        (top, left), (last_top, last_left) = (
            np.argwhere(mask).min(0) for mask in (shown[8], shown[-1])
        )
        assert abs(int(last_top) - int(top)) > 20
        assert abs(int(last_left) - int(left)) < 12


def test_normal_people_move_in_every_clip(folder):
    for clip in walkway.clips():
        first, later = (
            read(folder / clip.split / clip.name / f"{t:03d}.png").astype(int) for t in (0, 8)
        )
        assert (np.abs(first - later) > 30).sum() > 200


def test_progress_counts_every_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(walkway, "clips", lambda: (CART, dataclasses.replace(CART, number=2)))
    seen = []

    def progress(steps, *, total, description):
        for step in steps:
            seen.append((total, description))
            yield step

    walkway.write(tmp_path, progress)
    assert seen == [(2, "walkway")] * 2
    assert len(list(tmp_path.rglob("*.png"))) == 8
