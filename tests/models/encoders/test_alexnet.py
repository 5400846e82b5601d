import hashlib

import pytest
import torch
import torchvision

from models.encoders import alexnet
from models.encoders.alexnet import AlexNetTrunk
from models.errors import InvalidInputError, NotFoundError


def test_weights_fit_torchvisions_alexnet():
    reference = torchvision.models.alexnet(weights=None).eval()
    trunk = AlexNetTrunk.Config(temporal=False).build()
    trunk.load_state_dict({name: reference.state_dict()[name] for name in trunk.state_dict()})
    images = torch.rand(2, 3, 64, 72)
    presets = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.transforms()
    normalised = torchvision.transforms.functional.normalize(images, presets.mean, presets.std)
    expected = reference.features[:5](normalised)
    torch.testing.assert_close(trunk(images), expected)
    assert expected.shape[1] == trunk.embedding_dim


@pytest.mark.parametrize("temporal", [False, True])
def test_a_gray_image_counts_as_three_equal_planes(temporal):
    trunk = AlexNetTrunk.Config(temporal=temporal).build()
    torch.nn.init.normal_(trunk.features[0].bias)
    images = torch.rand(2, 1, 64, 72)
    torch.testing.assert_close(
        trunk(images), trunk(images.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4
    )


def test_a_still_clip_looks_the_same_at_every_brightness_of_motion():
    still = torch.rand(1, 1, 64, 64).expand(1, 6, 64, 64)
    quiet, loud = (AlexNetTrunk.Config(motion_gain=gain).build() for gain in (1.0, 50.0))
    loud.load_state_dict(quiet.state_dict())
    torch.testing.assert_close(quiet(still), loud(still), atol=1e-4, rtol=1e-4)


def test_the_order_of_frames_matters():
    clip, trunk = torch.rand(1, 6, 64, 64), AlexNetTrunk.Config().build()
    assert not torch.allclose(trunk(clip), trunk(clip.flip(1)))


def test_an_image_smaller_than_one_field_is_refused():
    with pytest.raises(InvalidInputError, match="at least 31 x 31 pixels, got 30 x 64"):
        AlexNetTrunk.Config().build()(torch.rand(1, 1, 30, 64))


def test_the_smallest_image_gives_a_feature():
    assert AlexNetTrunk.Config().build()(torch.rand(1, 1, 31, 31)).shape[1] == 192


def test_a_gain_of_nothing_is_refused():
    with pytest.raises(InvalidInputError, match=r"motion_gain must be > 0, got 0\.0"):
        AlexNetTrunk.Config(motion_gain=0.0)


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_imagenet_weights_come_from_the_cache(torch_home, monkeypatch):
    weights = torchvision.models.alexnet(weights=None).state_dict()
    path = torch_home / "saved.pth"
    torch.save(weights, path)
    name = f"alexnet-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(torch_home / name)
    monkeypatch.setattr(alexnet, "WEIGHTS", f"https://127.0.0.1:1/{name}")
    trunk = AlexNetTrunk.Config(temporal=False).build().load_imagenet()
    assert torch.equal(trunk.state_dict()["features.3.weight"], weights["features.3.weight"])


def test_missing_imagenet_weights_say_what_to_do(torch_home, monkeypatch):
    monkeypatch.setattr(alexnet, "WEIGHTS", "https://127.0.0.1:1/alexnet-owt-7be5be79.pth")
    with pytest.raises(NotFoundError) as caught:
        AlexNetTrunk.Config(temporal=False).build().load_imagenet()
    for part in ("alexnet-owt-7be5be79.pth", str(torch_home), "--backbone pretext"):
        assert part in str(caught.value)


def test_imagenet_weights_are_refused_by_a_trunk_that_sees_velocities():
    with pytest.raises(InvalidInputError, match="need temporal=False, got True"):
        AlexNetTrunk.Config().build().load_imagenet()
