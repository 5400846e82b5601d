import pytest
import torch

from models.errors import TrainingError
from models.functional import shuffled
from models.functional.shuffled import Shuffled

IMAGES = torch.rand(10, 1, 3, 4, generator=torch.Generator().manual_seed(0))


def dealt(batches, seed=0):
    return list(Shuffled(batches, seed=seed).epoch(4))


def test_every_image_is_dealt_once_with_its_id():
    batches = dealt([IMAGES])
    assert [len(ids) for ids, _ in batches] == [4, 4, 2]
    ids = torch.cat([ids for ids, _ in batches])
    assert sorted(ids.tolist()) == list(range(10))
    assert torch.equal(torch.cat([images for _, images in batches]), IMAGES[ids])


def test_how_the_images_came_makes_no_difference():
    for (ids, images), (others, same) in zip(dealt([IMAGES]), dealt(IMAGES.split(3)), strict=True):
        assert torch.equal(ids, others)
        assert torch.equal(images, same)


def test_each_epoch_and_each_seed_has_its_own_order():
    source = Shuffled([IMAGES], seed=0)
    orders = [torch.cat([ids for ids, _ in source.epoch(4)]).tolist() for _ in range(2)]
    orders.append(torch.cat([ids for ids, _ in dealt([IMAGES], seed=1)]).tolist())
    assert len({tuple(order) for order in orders}) == 3
    assert torch.cat([ids for ids, _ in source.in_order(4)]).tolist() == list(range(10))
    assert source.num_batches(4) == 3


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "needs images, got none"),
        ([IMAGES, IMAGES[..., :2]], r"of one size, got \(1, 3, 2\) after \(1, 3, 4\)"),
        ([IMAGES * torch.nan], "must be finite"),
    ],
)
def test_images_that_cannot_be_learned_from_are_refused(batches, message):
    with pytest.raises(TrainingError, match=message):
        Shuffled(batches, seed=0)


def test_more_images_than_memory_are_refused_before_they_fill_it(monkeypatch):
    monkeypatch.setattr(shuffled, "MEMORY", 4 * 12 * 5)
    with pytest.raises(TrainingError, match="keeps its training images in memory"):
        Shuffled(IMAGES.split(2), seed=0)
