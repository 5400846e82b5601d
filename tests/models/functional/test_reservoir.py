import pytest
import torch

from models.functional.reservoir import Reservoir


def drawn(stream, sizes, capacity=20, seed=0):
    reservoir = Reservoir(capacity, seed)
    for part in stream.split(sizes):
        reservoir.update(part)
    return reservoir.samples()


def test_the_sample_does_not_depend_on_the_batch_size():
    stream = torch.arange(300.0)[:, None]
    assert torch.equal(drawn(stream, 300), drawn(stream, 7))


def test_everything_is_kept_while_there_is_room():
    assert sorted(drawn(torch.arange(9.0)[:, None], 4).flatten().tolist()) == list(range(9))


def test_every_sample_is_as_likely():
    stream = torch.arange(100.0)[:, None]
    kept = torch.cat([drawn(stream, 13, seed=seed).flatten() for seed in range(300)])
    counts = kept.long().bincount(minlength=100).double()
    assert counts.mean() == 60
    assert counts[:50].sum() == pytest.approx(3000, abs=150)
    assert counts.min() > 30


def test_an_empty_stream_is_refused():
    with pytest.raises(ValueError, match="got none"):
        Reservoir(3).samples()
