import shutil

import pytest
import torch

from models.errors import DataError
from models.pretext.context_encoder import ContextEncoder
from models.pretext.video_triplet import VideoTriplet
from tasks.data import snapshots, versions
from tasks.records import Training
from tasks.training.inputs import normal_batches, normal_images, pretext_batches
from tests.tasks import moving
from tests.tasks.pictures import write_clips, write_stills


def rows(batches):
    return {tuple(row.tolist()) for batch in batches for row in batch.flatten(1)}


def test_what_is_held_out_is_never_trained_on(repository):
    write_clips(repository / "data" / "clips", clips=4)
    snapshot = snapshots.open_version(versions.add("clips"))
    training = Training(window=6, batch_size=3, calibration_share=0.25)
    images, held_out = normal_batches(snapshot, training)
    assert (images.num_images, held_out.num_images) == (12, 4)
    assert not rows(images) & rows(held_out)


def test_every_image_learns_and_calibrates_in_cross_calibration(repository):
    write_stills(repository / "data" / "stills")
    snapshot = snapshots.open_version(versions.add("stills"))
    normal = normal_images(snapshot, Training(), (), cross=True)
    assert normal.calibration is None
    assert normal.clips == normal.calibration_clips == snapshot.clips("train")
    assert normal.batches.num_images == len(normal.clips)
    first, again = (torch.cat(list(normal.probe)) for _ in range(2))
    assert torch.equal(first, again)  # in order, so that scores belong to clips
    parted = normal_images(snapshot, Training(), (), cross=False)
    assert not set(parted.clips) & set(parted.calibration_clips)
    assert parted.probe is parted.calibration


def test_a_copy_counts_once_in_cross_calibration(repository):
    folder = write_stills(repository / "data" / "stills")
    for copy in ("003b", "zoo/1"):
        (folder / f"train/good/{copy}.png").parent.mkdir(exist_ok=True)
        shutil.copy(folder / "train/good/003.png", folder / f"train/good/{copy}.png")
    snapshot = snapshots.open_version(versions.add("stills"))
    normal = normal_images(snapshot, Training(), (), cross=True)
    assert [clip.name for clip in normal.clips] == [f"good/{number:03}" for number in range(5)]
    for number in (0, 1, 2, 4):
        (folder / f"train/good/{number:03}.png").unlink()
    same = snapshots.open_version(versions.add("stills"))
    with pytest.raises(DataError, match="all 3 images of train/good show the same"):
        normal_images(same, Training(), (), cross=True)


def test_images_have_the_size_that_the_recipe_asks_for(repository):
    write_stills(repository / "data" / "stills")
    snapshot = snapshots.open_version(versions.add("stills"))
    images, held_out = normal_batches(snapshot, Training(image_size=(20, 24), channels=3))
    for batch in (*images, *held_out):
        assert batch.shape[1:] == torch.Size([3, 20, 24])


def test_video_triplets_get_pairs_of_tracks_and_nothing_else_does(repository):
    moving.write(repository / "data" / "squares", clips=4)
    snapshot = snapshots.open_version(versions.add("squares"))
    training = Training(window=6, batch_size=8, calibration_share=0.25)
    config = VideoTriplet.Config(patch=32)
    images, held_out = pretext_batches(snapshot, training, config)
    assert (images.num_images, held_out.num_images) == (24, 2)
    assert not {t.clip for t in images.tracks} & {t.clip for t in held_out.tracks}
    assert next(iter(images)).shape == torch.Size([6, 2, 6, 32, 32])
    plain, _ = pretext_batches(snapshot, training, ContextEncoder.Config())
    assert next(iter(plain)).shape == torch.Size([8, 6, *moving.SIZE])
