import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tasks.data import dvc_cache, manifest, snapshots, versions
from tests.tasks.pictures import SIZE, picture, save, write_clips, write_stills


def read(name):
    rows = manifest.read(snapshots.open_version(versions.add(name)))
    return rows.set_index("path", drop=False)


def write_video(path, frames, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (64, 48)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
    for index in range(frames):
        writer.write(np.full((48, 64, 3), (shade + 20 * index) % 256, np.uint8))
    writer.release()
    return path


def test_a_row_tells_place_size_and_gray_levels_of_an_image(repository):
    write_clips(versions.folder() / "squares")
    rows = read("squares")
    row = rows.loc["test/cart/01/004.png"]
    pixels = picture((0, 2, 4)) / 255
    assert (row.role, row.split, row.kind, row["clip"]) == ("image", "test", "cart", "cart/01")
    assert (row.frame, row.label, row.clip_length, row.step) == (4, "anomalous", 9, 1)
    assert (row.width, row.height, row["mode"], row.num_frames) == (SIZE[1], SIZE[0], "L", 1)
    assert row.md5 == row.md5_read == dvc_cache.file_md5(dvc_cache.cached_path(row.md5))
    assert row["mean"] == pytest.approx(pixels.mean())
    assert row.contrast == pytest.approx(pixels.std())
    assert rows.loc["test/cart/01/002.png"].label == "normal"
    mask = rows.loc["ground_truth/cart/01/004.png"]
    assert (mask.role, mask.belongs_to) == ("mask", "test/cart/01/004.png")
    assert mask["size"] == mask.size_of_owner == "16x12"


def test_the_mask_of_a_still_image_is_found_by_its_stem(repository):
    write_stills(versions.folder() / "squares")
    rows = read("squares")
    row = rows.loc["ground_truth/scratch/000_mask.png"]
    assert row.belongs_to == "test/scratch/000.png"
    assert rows.loc["test/scratch/000.png"].has_truth
    assert rows["clip"].isna().all()
    assert rows["clip_length"].isna().all()


@pytest.mark.parametrize("level", [0, 7, 85, 255])
def test_the_contrast_of_a_constant_image_is_exactly_zero(repository, level):
    folder = write_stills(versions.folder() / "squares")
    save(folder / "train/good/000.png", np.full((123, 457), level, np.uint8))
    row = read("squares").loc["train/good/000.png"]
    assert row.contrast == 0
    assert row["mean"] == pytest.approx(level / 255)


def test_16_bit_and_colour_images_are_measured_as_they_are_trained_on(repository):
    folder = write_stills(versions.folder() / "squares")
    deep = np.arange(192, dtype=np.uint16).reshape(SIZE) * 300
    Image.fromarray(deep).save(folder / "train/good/000.png")
    save(folder / "train/good/001.png", np.dstack([picture(k) for k in range(3)]))
    Image.fromarray(np.full(SIZE, np.nan, np.float32)).save(folder / "train/good/nan.tiff")
    rows = read("squares")
    assert rows.loc["train/good/000.png"]["mean"] == pytest.approx(deep.mean() / 65535, abs=0.003)
    assert rows.loc["train/good/001.png"]["mode"] == "RGB"
    assert rows.loc["train/good/000.png"].bits == 16
    unfit = rows.loc["train/good/nan.tiff"]
    assert not unfit.decodes
    assert unfit.num_frames == 0
    assert "floating point" in unfit.problem


def test_a_video_file_is_one_row_with_its_number_of_frames(repository):
    folder = versions.folder() / "squares"
    write_video(folder / "train/good/01.avi", 9)
    write_video(folder / "test/good/01.avi", 7, shade=3)
    write_video(folder / "test/cart/01.avi", 8, shade=6)
    (folder / "ground_truth/cart").mkdir(parents=True)
    (folder / "ground_truth/cart/01.txt").write_text("0 0 0 1 1 1 0 0")
    rows = read("squares")
    row = rows.loc["train/good/01.avi"]
    assert (row.role, row.num_frames, row.clip_length, row["size"]) == ("video", 9, 9, "64x48")
    assert row["mean"] == pytest.approx(80 / 255, abs=0.02)  # the middle frame
    assert rows.loc["test/cart/01.avi"].label == "mixed"
    assert rows.loc["test/good/01.avi"].label == "normal"
    assert rows.loc["ground_truth/cart/01.txt"].belongs_to == "cart/01"


def test_a_damaged_video_is_a_row_and_leaves_the_others_unknown(repository):
    folder = versions.folder() / "squares"
    write_video(folder / "train/good/01.avi", 9)
    write_video(folder / "test/good/01.avi", 9, shade=3)
    (folder / "test/good/02.avi").write_bytes(b"RIFF, but no more")
    rows = read("squares")
    row = rows.loc["test/good/02.avi"]
    assert not row.decodes
    assert row.num_frames == 0
    assert "video" in row.problem
    assert set(rows["label"]) == {"unknown"}


def test_what_has_no_place_is_other_and_is_not_decoded(repository):
    folder = write_stills(versions.folder() / "squares")
    (folder / "README.md").write_text("about")
    (folder / "train/good/notes.txt").write_text("sunny")
    save(folder / "train/0.png", picture(0))
    rows = read("squares")
    others = rows[rows["role"] == "other"]
    assert set(others.index) == {"train/good/notes.txt", "train/0.png"}
    assert others["hint"].notna().all()
    assert rows[rows["role"].isin(["other", "note"])]["decodes"].isna().all()


def test_deeper_folders_are_clips(repository):
    folder = write_stills(versions.folder() / "squares")
    for t in range(3):
        save(folder / f"test/cart/cam1/day2/{t}.png", picture((9, t)))
    save(folder / "ground_truth/cart/cam1/day2/1.png", np.eye(*SIZE, dtype=bool))
    rows = read("squares")
    assert rows.loc["test/cart/cam1/day2/1.png"]["clip"] == "cart/cam1/day2"
    labels = [rows.loc[f"test/cart/cam1/day2/{t}.png"].label for t in range(3)]
    assert labels == ["normal", "anomalous", "normal"]


def test_a_mask_that_marks_everything_is_refused_and_a_doubtful_one_told(repository):
    folder = write_stills(versions.folder() / "squares")
    marked = np.eye(*SIZE, dtype=bool)
    for name in ("all", "none", "rough"):
        save(folder / f"test/scratch/{name}.png", picture(len(name)))
    save(folder / "ground_truth/scratch/all_mask.png", np.ones(SIZE, bool))
    save(folder / "ground_truth/scratch/none_mask.png", np.zeros(SIZE, bool))
    rough = np.linspace(0, 255, marked.size).reshape(SIZE).astype(np.uint8)
    save(folder / "ground_truth/scratch/rough_mask.png", rough)
    save(folder / "ground_truth/good/000_mask.png", marked)
    rows = read("squares")
    assert "marks every pixel" in rows.loc["ground_truth/scratch/all_mask.png"].problem
    assert not rows.loc["ground_truth/scratch/all_mask.png"].decodes
    assert "marks nothing" in rows.loc["ground_truth/scratch/none_mask.png"].doubt
    assert "192 levels" in rows.loc["ground_truth/scratch/rough_mask.png"].doubt
    assert "normal image" in rows.loc["ground_truth/good/000_mask.png"].doubt
    assert isinstance(rows.loc["ground_truth/scratch/000_mask.png"].doubt, float)  # none


def test_pages_are_frames_where_clips_are_expected(repository):
    pages = [Image.fromarray(picture(t)) for t in range(8)]
    for name in ("clips/train/good/1.tif", "clips/test/cart/1.tif", "stills/test/cart/1.tif"):
        path = versions.folder() / name
        path.parent.mkdir(parents=True)
        pages[0].save(path, save_all=True, append_images=pages[1:])
    write_stills(versions.folder() / "stills")
    row = read("clips").loc["test/cart/1.tif"]
    assert (row.role, row["clip"], row.num_frames) == ("video", "cart/1", 8)
    row = read("stills").loc["test/cart/1.tif"]
    assert (row.role, row["clip"], row.num_frames, row.num_pages) == ("image", None, 1, 8)


def test_a_region_of_interest_has_the_size_of_all_images(repository):
    folder = write_stills(versions.folder() / "squares")
    save(folder / "roi.png", np.eye(*SIZE, dtype=bool))
    row = read("squares").loc["roi.png"]
    assert (row.role, row["size"], row.size_of_owner) == ("roi", "16x12", "16x12")
    shapes = [{"points": [[1, 1], [9, 1], [9, 9]]}]
    drawn = {"imageHeight": 12, "imageWidth": 16, "shapes": shapes}
    (folder / "roi.json").write_text(json.dumps(drawn))
    row = read("squares").loc["roi.json"]
    assert (row.role, row["size"], row["mode"]) == ("roi", "16x12", "polygons")
    (folder / "roi.json").unlink()
    save(folder / "roi.png", np.zeros(SIZE, bool))
    assert "marks no pixel" in read("squares").loc["roi.png"].problem
    save(folder / "train/good/000.png", picture(0, (8, 8)))
    assert read("squares").loc["roi.png"].size_of_owner == "of different images"


def test_the_progress_bar_counts_the_files(repository):
    write_stills(versions.folder() / "squares")
    seen = []

    def watch(steps, *, total, description):
        for step in steps:
            seen.append((step, total))
            yield step

    manifest.read(snapshots.open_version(versions.add("squares")), watch)
    assert len(seen) == seen[0][1] == 8
