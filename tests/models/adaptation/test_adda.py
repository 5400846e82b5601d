import pytest
import torch

from models.adaptation._adversary import AdversaryConfig
from models.adaptation.adda import ADDA, _places
from models.errors import InvalidInputError
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
