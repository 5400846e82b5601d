import pytest
import torch
from safetensors.torch import load_file, save_file

from models.capabilities import Layered, Pretrained
from models.encoders import pretrained
from models.encoders.pretrained import PretrainedTrunk, joined
from models.errors import InvalidInputError, NotFoundError


@pytest.fixture(scope="module")
def trunk():
    return PretrainedTrunk.Config().build().load_pretrained()


def test_the_default_takes_the_layers_of_strides_8_and_16(trunk):
    assert isinstance(trunk, Layered)
    assert isinstance(trunk, Pretrained)
    assert trunk.layer_names == ("blocks.2", "blocks.4")
    assert (trunk.layer_dims, trunk.strides) == ((40, 112), (8, 16))
    fine, coarse = trunk.feature_maps(torch.rand(2, 3, 64, 96))
    assert (fine.shape, coarse.shape) == ((2, 40, 8, 12), (2, 112, 4, 6))
    together = trunk(torch.rand(2, 3, 64, 96))
    assert together.shape == (2, trunk.embedding_dim, 8, 12)


def test_it_computes_what_the_whole_network_does_there(trunk):
    import timm

    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(pretrained._packaged())
    images = torch.rand(1, 3, 64, 64)
    expected = whole.forward_intermediates(2 * images - 1, indices=[2, 3], intermediates_only=True)
    for found, wanted in zip(trunk.feature_maps(images), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_its_weights_have_seen_the_world(trunk):
    # A trained network tells textures that a random one finds alike: a grating from its rotation.
    rows = (torch.arange(64.0) * 0.8).sin().expand(1, 3, 64, 64) * 0.5 + 0.5
    random = PretrainedTrunk.Config().build()

    def apart(network):
        one, other = (network(images).mean(dim=(2, 3)) for images in (rows, rows.mT))
        return float((one - other).norm() / one.norm())

    assert apart(trunk) > 2 * apart(random)


def test_gray_images_are_colour_images_without_colour(trunk):
    gray = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(trunk(gray), trunk(gray.expand(-1, 3, -1, -1)))


def test_any_size_gives_whole_cells(trunk):
    assert trunk(torch.rand(1, 3, 70, 100)).shape[-2:] == (9, 13)


def test_building_reads_no_weights_and_a_state_dict_fills_it(trunk, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package")
    save_file(trunk.state_dict(), tmp_path / "weights.safetensors")
    fresh = trunk.config.build()
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(fresh(images), trunk(images))
    with pytest.raises(NotFoundError, match="no-such-package, which is not installed"):
        fresh.load_pretrained()


def test_building_leaves_global_randomness_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    PretrainedTrunk.Config().build().load_pretrained()
    assert torch.equal(torch.rand(1), expected)


def test_layers_are_chosen_by_name():
    trunk = PretrainedTrunk.Config(layers=("blocks.2", "blocks.1")).build()
    assert trunk.layer_names == ("blocks.1", "blocks.2")
    assert trunk.strides == (4, 8)


def test_another_network_of_timm_from_a_file(tmp_path):
    import timm

    torch.manual_seed(0)
    whole = timm.create_model("resnet18").eval()
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    config = PretrainedTrunk.Config(backbone="resnet18", weights=str(tmp_path / "resnet18.pth"))
    trunk = config.build().load_pretrained()
    assert trunk.layer_names == ("layer2", "layer3")
    assert torch.equal(trunk.network.model.conv1.weight, whole.conv1.weight)
    assert trunk(torch.rand(1, 3, 64, 64)).shape == (1, 128 + 256, 8, 8)


def test_a_transformer_sees_images_of_other_sizes():
    trunk = PretrainedTrunk.Config(backbone="vit_tiny_patch16_224").build()
    assert trunk.layer_names == ("blocks.5", "blocks.8")
    assert trunk(torch.rand(1, 3, 96, 64)).shape == (1, 2 * 192, 6, 4)


def test_weights_that_cannot_be_had_say_which_file_goes_where(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    trunk = PretrainedTrunk.Config(backbone="resnet10t").build()
    with pytest.raises(NotFoundError, match=r"huggingface.co/timm/resnet10t.*give its path"):
        trunk.load_pretrained()
    lost = PretrainedTrunk.Config(weights="nowhere/lite0.pth").build()
    with pytest.raises(NotFoundError, match=r"nowhere/lite0.pth, which is not there"):
        lost.load_pretrained()


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    config = PretrainedTrunk.Config(weights=str(tmp_path / "other.pth"))
    with pytest.raises(InvalidInputError, match="of 198 are missing or differ"):
        config.build().load_pretrained()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet19"}, r"no backbone 'resnet19'.*such as .*resnet"),
        ({"layers": ("blocks.9",)}, r"blocks.1 \(stride 4\), blocks.2 \(stride 8\)"),
        ({"layers": ("blocks.2", "blocks.2")}, "each once"),
    ],
)
def test_what_there_is_is_listed(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        PretrainedTrunk.Config(**settings).build()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 6, 64, 64), "sees one picture.*got 6 channels"), ((1, 1, 16, 64), "at least 32 x 32")],
)
def test_images_that_it_cannot_see_are_refused(trunk, shape, message):
    with pytest.raises(InvalidInputError, match=message):
        trunk(torch.rand(shape))


def test_joined_maps_keep_the_fine_one_as_it_is():
    fine, coarse = torch.rand(1, 2, 4, 6), torch.rand(1, 3, 2, 3)
    together = joined([fine, coarse])
    assert torch.equal(together[:, :2], fine)
    assert together.shape == (1, 5, 4, 6)
    constant = joined([fine, torch.full((1, 3, 2, 3), 0.7)])[:, 2:]
    torch.testing.assert_close(constant, torch.full_like(constant, 0.7))


@torch.no_grad()
def test_tiles_give_the_maps_of_the_whole_image(trunk, monkeypatch):
    images = torch.rand(1, 3, 500, 675, generator=torch.Generator().manual_seed(0))
    whole = trunk.feature_maps(images)
    monkeypatch.setattr(pretrained, "LARGE", 400**2)
    monkeypatch.setattr(pretrained, "TILE", 256)
    tiled = trunk.feature_maps(images)
    for found, expected in zip(tiled, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
