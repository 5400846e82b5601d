import torch

from tasks import datasets, versions
from tasks.inputs import normal_batches
from tasks.records import Training
from tests.tasks.pictures import write_clips, write_stills


def rows(batches):
    return {tuple(row.tolist()) for batch in batches for row in batch.flatten(1)}


def test_what_is_held_out_is_never_trained_on(repository):
    write_clips(repository / "data" / "clips", clips=4)
    snapshot = datasets.open_version(versions.add("clips"))
    training = Training(window=6, batch_size=3, calibration_share=0.25)
    images, held_out = normal_batches(snapshot, training)
    assert (images.num_images, held_out.num_images) == (12, 4)
    assert not rows(images) & rows(held_out)


def test_images_have_the_size_that_the_recipe_asks_for(repository):
    write_stills(repository / "data" / "stills")
    snapshot = datasets.open_version(versions.add("stills"))
    images, held_out = normal_batches(snapshot, Training(image_size=(20, 24), channels=3))
    for batch in (*images, *held_out):
        assert batch.shape[1:] == torch.Size([3, 20, 24])
