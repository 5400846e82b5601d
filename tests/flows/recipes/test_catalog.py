import pytest

from flows.recipes import catalog
from models.encoders.pixels import Pixels
from models.encoders.pretrained import PretrainedTrunk
from models.errors import InvalidInputError, NotFoundError


def test_every_method_is_found_by_the_name_of_its_file():
    assert {"padim", "patchcore", "deep_anomaly", "knn"} <= catalog.detectors().keys()
    assert {"context_encoder", "jigsaw"} <= catalog.pretexts().keys()
    for name, config in catalog.detectors().items():
        assert catalog.name_of(config()) == name
        assert catalog.first_line(config)


@pytest.mark.parametrize("name", catalog.detectors())
def test_every_detector_is_built_on_the_encoder_that_it_gets(name):
    config = catalog.detector(name)
    encoder = catalog.default_encoder(config).build()
    assert config.build(encoder).encoder is encoder


def test_what_learns_from_pixels_gets_pixels():
    assert isinstance(catalog.default_encoder(catalog.detector("alocc")), Pixels.Config)
    assert isinstance(catalog.default_encoder(catalog.detector("knn")), PretrainedTrunk.Config)


def test_an_encoder_is_a_file_or_a_network_of_timm_with_layers():
    assert catalog.encoder("resnet18:layer2,layer3") == PretrainedTrunk.Config(
        backbone="resnet18", layers=("layer2", "layer3")
    )
    assert type(catalog.encoder("alexnet")).__qualname__ == "AlexNetTrunk.Config"
    assert catalog.encoder("pretrained") == PretrainedTrunk.Config()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: catalog.detector("pardim"), "(?s)no detector 'pardim'.*padim"),
        (lambda: catalog.pretext_task("jig"), "(?s)no pretext task 'jig'.*jigsaw, none"),
        (lambda: catalog.encoder("resnet1800"), "no backbone 'resnet1800'"),
        (lambda: catalog.encoder("alexnet:conv1"), "Layers can be chosen of pretrained"),
        (lambda: catalog.encoder("resnet18:layer9").build(), "layer9"),
    ],
)
def test_an_unknown_name_lists_what_there_is(ask, said):
    with pytest.raises((NotFoundError, InvalidInputError), match=said):
        ask()
