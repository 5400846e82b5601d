import math

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from models.adaptation._adversary import AdversaryConfig, Average, Discriminator, play
from models.contracts import silent
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled


def game(target, config, known=None, images=None):
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(64, 3, generator=generator) + 2 if known is None else known
    images = torch.rand(64, 3, 1, 1, generator=generator) if images is None else images
    return play(
        known,
        target,
        lambda network, images: network(images.flatten(1)),
        Shuffled([images], seed=0),
        config,
        seed=0,
        fabric=Fabric(accelerator="cpu", devices=1),
        progress=silent,
    )


def linear():
    torch.manual_seed(0)
    return nn.Linear(3, 3)


def test_an_untrained_pair_starts_at_the_loss_of_chance():
    history = game(linear(), AdversaryConfig(steps=1, batch_size=64, averaged=0.0))
    assert history.discriminator_loss[0] == pytest.approx(math.log(2), abs=0.1)
    assert history.encoder_loss[0] == pytest.approx(math.log(2), abs=0.1)


def test_the_target_learns_to_make_rows_like_the_known_ones():
    target = linear()
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(256, 3, 1, 1, generator=generator)
    before = target(images.flatten(1)).mean()
    config = AdversaryConfig(steps=400, encoder_rate=5e-3, discriminator_rate=1e-3, width=32)
    game(target, config, known=torch.randn(256, 3, generator=generator) + 2, images=images)
    after = target(images.flatten(1)).mean()
    assert abs(after - 2) < 0.5 < abs(before - 2) / 2


def test_the_gate_keeps_the_encoder_from_a_discriminator_that_cannot_tell():
    target = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        target.weight.copy_(torch.eye(3))
    rows = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    config = AdversaryConfig(steps=20, batch_size=64, gate=0.9, averaged=0.0)
    history = game(target, config, known=rows, images=rows[:, :, None, None])
    assert max(history.discriminator_accuracy) < 0.9
    assert history.encoder_updated == [0.0] * 20
    assert torch.equal(target.weight, torch.eye(3))


def test_the_encoder_learns_at_exactly_the_steps_whose_accuracy_passes_the_gate():
    history = game(linear(), AdversaryConfig(steps=60, batch_size=32, gate=0.8))
    told = [float(accuracy > 0.8) for accuracy in history.discriminator_accuracy]
    assert history.encoder_updated == told
    assert 0 < sum(told) < 60


def test_the_answer_is_the_mean_of_the_last_iterates():
    def weights(**settings):
        target = linear()
        game(target, AdversaryConfig(batch_size=64, gate=0.0, **settings))
        return target.weight.detach()

    iterates = [weights(steps=steps, averaged=0.0) for steps in (3, 4)]
    torch.testing.assert_close(weights(steps=4, averaged=0.5), torch.stack(iterates).mean(0))


def test_an_average_of_nothing_changes_nothing():
    network = linear()
    expected = network.weight.detach().clone()
    Average(network).apply()
    assert torch.equal(network.weight, expected)


def test_dropout_is_off_and_batch_statistics_stay():
    target = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    game(target, AdversaryConfig(steps=3))
    assert not target.training
    assert torch.equal(target[1].running_mean, torch.zeros(3))


def test_the_discriminator_has_two_answers_for_each_row():
    discriminator = Discriminator(7, 11)
    assert discriminator(torch.zeros(5, 7)).shape == (5, 2)
    assert sum(p.numel() for p in discriminator.parameters()) == 88 + 132 + 24


def test_a_network_without_weights_is_refused():
    with pytest.raises(InvalidInputError, match="weights"):
        game(nn.Identity(), AdversaryConfig(steps=1))


def test_a_loss_that_is_not_finite_is_an_error():
    known = torch.full((8, 3), torch.nan)
    with pytest.raises(TrainingError, match="finite"):
        game(linear(), AdversaryConfig(steps=1), known=known)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"width": 0},
        {"encoder_rate": 0.0},
        {"discriminator_rate": -1.0},
        {"gate": 1.0},
        {"averaged": 1.1},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        AdversaryConfig(**wrong)
