import pytest
import torch

from models.errors import TrainingError
from models.functional import shuffled
from models.functional.shuffled import Shuffled

IMAGES = torch.rand(10, 1, 3, 4, generator=torch.Generator().manual_seed(0))
BYTES = torch.arange(256).float().view(64, 1, 2, 2) / 255


def batches_of(batches, seed=0):
    return list(Shuffled(batches, seed=seed).epoch(4))


def test_every_image_comes_once_with_its_id():
    batches = batches_of([IMAGES])
    assert [len(ids) for ids, _ in batches] == [4, 4, 2]
    ids = torch.cat([ids for ids, _ in batches])
    assert sorted(ids.tolist()) == list(range(10))
    assert torch.equal(torch.cat([images for _, images in batches]), IMAGES[ids])


def test_how_the_images_came_makes_no_difference():
    pairs = zip(batches_of([IMAGES]), batches_of(IMAGES.split(3)), strict=True)
    for (ids, images), (others, same) in pairs:
        assert torch.equal(ids, others)
        assert torch.equal(images, same)


def test_each_epoch_and_each_seed_has_its_own_order():
    source = Shuffled([IMAGES], seed=0)
    orders = [torch.cat([ids for ids, _ in source.epoch(4)]).tolist() for _ in range(2)]
    orders.append(torch.cat([ids for ids, _ in batches_of([IMAGES], seed=1)]).tolist())
    assert len({tuple(order) for order in orders}) == 3
    assert torch.cat([ids for ids, _ in source.in_order(4)]).tolist() == list(range(10))


def test_epochs_are_numbered_and_small_last_batches_left_out():
    source = Shuffled([IMAGES[:9]], seed=0)
    found = [(epoch, len(ids)) for epoch, (ids, _) in source.epochs(4, 2, smallest=2)]
    assert found == [(0, 4), (0, 4), (1, 4), (1, 4)]
    assert source.num_batches(4) == 3
    assert source.num_batches(4, smallest=2) == 2
    endless = source.epochs(4)
    assert [next(endless)[0] for _ in range(7)] == [0, 0, 0, 1, 1, 1, 2]


def test_images_of_8_bits_are_kept_in_8_bits_without_loss():
    source = Shuffled(BYTES.split(10), seed=0)
    assert source._kept.dtype == torch.uint8
    assert torch.equal(source[:], BYTES)
    assert source.shape == (64, 1, 2, 2)
    mixed = Shuffled([BYTES, BYTES + 1e-4], seed=0)
    assert torch.equal(mixed[:], torch.cat([BYTES, BYTES + 1e-4]))


def test_a_subset_has_its_images_and_an_order_of_its_own():
    source = Shuffled([BYTES], seed=0)
    part = source.subset(torch.tensor([5, 3, 9]), seed=1)
    assert torch.equal(part[:], BYTES[[5, 3, 9]])
    assert len(part) == part.shape[0] == 3
    assert sorted(torch.cat([ids for ids, _ in part.epoch(2)]).tolist()) == [0, 1, 2]


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


def test_more_images_than_memory_are_refused_and_four_times_as_many_of_8_bits_fit(monkeypatch):
    monkeypatch.setattr(shuffled, "MEMORY", 4 * 12 * 5)
    with pytest.raises(TrainingError, match=r"keeps its training .* 5 of these"):
        Shuffled(IMAGES.split(2), seed=0)
    assert len(Shuffled([BYTES[:60]], seed=0)) == 60
