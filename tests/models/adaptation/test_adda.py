import math

import pytest
import torch
from torch import nn

from models.adaptation.adda import (
    ADDA,
    AdversaryConfig,
    Discriminator,
    Domain,
    _places,
    check_alike,
    play,
)
from models.contracts import silent
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled
from models.training import cpu
from tests.models.tiny import Tiny


def scene(num, seed):
    """Smooth gray pictures."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(num, 1, 4, 4, generator=draw)
    return torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")


def other_camera(images):
    """Darker, of less contrast, with noise."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(9))
    return (0.1 + 0.4 * images + 0.03 * noise).clamp(0, 1)


def gaps(encoder, source_encoder, images, theirs):
    """How far mean and spread of features are from those of the source, over all features."""
    with torch.no_grad():
        maps = source_encoder(images), encoder(theirs)
    known, new = (feature_map.movedim(1, -1).flatten(0, 2) for feature_map in maps)
    alive = known.std(0) > 1e-6
    shift = ((new.mean(0) - known.mean(0)) / known.std(0))[alive]
    scale = (new.std(0) / known.std(0))[alive].log()
    return torch.stack([shift.pow(2).mean().sqrt(), scale.pow(2).mean().sqrt()])


@pytest.mark.parametrize("seed", range(3))
def test_features_of_the_other_camera_come_to_look_like_those_of_the_first(seed):
    torch.manual_seed(seed)
    encoder = Tiny().eval()
    ours, theirs = scene(64, seed), other_camera(scene(64, 50 + seed))
    held_out = scene(64, 100 + seed), other_camera(scene(64, 150 + seed))
    adversary = AdversaryConfig(
        steps=300, batch_size=16, encoder_rate=5e-4, discriminator_rate=2e-3, width=32
    )
    config = ADDA.Config(adversary=adversary, places=8, seed=seed)
    adapter = config.build(encoder).fit([ours], [theirs])
    before, after = (gaps(each, encoder, *held_out) for each in (encoder, adapter.encoder))
    assert (after < 0.6 * before).all()


def test_places_are_feature_vectors_of_their_own_image():
    feature_map = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float()
    rows = _places(feature_map, 50, torch.Generator().manual_seed(0))
    vectors = feature_map.movedim(1, -1).reshape(2, 20, 3)
    assert rows.shape == (100, 3)
    for row, image in zip(rows, [0] * 50 + [1] * 50, strict=True):
        assert (vectors[image] == row).all(dim=1).any()
    assert len(rows[:50].unique(dim=0)) > 10


def test_only_so_many_images_and_vectors_are_kept(encoder, bright, dark):
    config = ADDA.Config(adversary=AdversaryConfig(steps=2, width=8), known=7, most_images=9)
    adapter = config.build(encoder).fit(bright.chunk(3), dark.chunk(4))
    assert len(adapter.history_["encoder_loss"]) == 2


@pytest.mark.parametrize("name", ["places", "known", "most_images"])
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(InvalidInputError, match=name):
        ADDA.Config(**{name: 0})


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
        fabric=cpu(),
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
    passed = [float(accuracy > 0.8) for accuracy in history.discriminator_accuracy]
    assert history.encoder_updated == passed
    assert 0 < sum(passed) < 60


def test_the_answer_is_the_mean_of_the_last_iterates():
    def weights(**settings):
        target = linear()
        game(target, AdversaryConfig(batch_size=64, gate=0.0, **settings))
        return target.weight.detach()

    iterates = [weights(steps=steps, averaged=0.0) for steps in (3, 4)]
    torch.testing.assert_close(weights(steps=4, averaged=0.5), torch.stack(iterates).mean(0))


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
def test_settings_of_the_adversary_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        AdversaryConfig(**wrong)


def passed(name, *batches):
    domain = Domain(name)
    assert all(a is b for a, b in zip(domain.watch(batches), batches, strict=True))
    return domain


def test_good_images_pass_unchanged_and_are_counted():
    domain = passed("source", torch.rand(5, 1, 4, 6), torch.ones(4, 1, 4, 6))
    assert (domain.num_images, domain.shape) == (9, (1, 4, 6))
    check_alike(domain, passed("target", torch.rand(8, 1, 4, 6)))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_not_between_0_and_1_is_refused(value):
    images = torch.full((8, 1, 2, 2), 0.5)
    images[3, 0, 1, 1] = value
    with pytest.raises(InvalidInputError, match="in the target"):
        list(Domain("target").watch([images]))


def test_images_that_were_divided_twice_are_refused():
    domain = passed("target", torch.ones(8, 1, 2, 2) / 255)
    with pytest.raises(InvalidInputError, match="once, not twice"):
        domain.check()


def test_too_few_are_refused():
    with pytest.raises(InvalidInputError, match="at least 8 images of each domain, got 7"):
        passed("source", torch.rand(7, 1, 2, 2)).check()


def test_sizes_must_agree_within_a_domain_and_between_domains():
    with pytest.raises(InvalidInputError, match=r"\(1, 2, 2\) and \(1, 3, 2\)"):
        list(Domain("source").watch([torch.rand(8, 1, 2, 2), torch.rand(8, 1, 3, 2)]))
    with pytest.raises(InvalidInputError, match=r"\(1, 2, 2\) in the source and \(3, 2, 2\)"):
        check_alike(
            passed("source", torch.rand(8, 1, 2, 2)), passed("target", torch.rand(8, 3, 2, 2))
        )
