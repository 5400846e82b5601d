from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from models.adaptation.adda import AdversaryConfig
from models.adaptation.adda_classifier import VIEWS, ADDAClassifier
from models.contracts import Encoder
from models.encoders.lenet import LeNet
from models.errors import InvalidInputError, NotFittedError
from models.functional.receptive_field import receptive_field


class Points(Encoder):
    """A perceptron on two numbers."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        def build(self):
            return Points()

    def __init__(self):
        super().__init__()
        self.config = Points.Config()
        self.embedding_dim = 16
        self.receptive_field = receptive_field([])
        self.layers = nn.Sequential(nn.Conv2d(2, 32, 1), nn.ReLU(), nn.Conv2d(32, 16, 1), nn.ReLU())

    def forward(self, images):
        return self.layers(4 * images - 2)


def clouds(num, seed, shift=0.0):
    """Two clouds of points of unequal sizes, as images of one pixel; the target's are moved."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor([0.7, 0.3]), num, replacement=True, generator=draw)
    centres = torch.tensor([[0.3, 0.5], [0.6, 0.5]])[labels]
    points = centres + 0.05 * torch.randn(num, 2, generator=draw) + torch.tensor([shift, 0])
    return points.clamp(0, 1)[:, :, None, None], labels


def config(**settings):
    settings = {
        "encoder": Points.Config(),
        "num_classes": 2,
        "source_steps": 100,
        "adversary": AdversaryConfig(
            steps=200, batch_size=64, encoder_rate=5e-4, discriminator_rate=2e-3, width=32
        ),
        **settings,
    }
    return ADDAClassifier.Config(**settings)


SHORT = AdversaryConfig(steps=3, batch_size=32, width=8)
SHIFT = 0.24


def accuracy(probabilities, labels):
    return float((probabilities.argmax(dim=1) == labels).double().mean())


@pytest.mark.parametrize("level", ["logits", "features"])
@pytest.mark.parametrize("seed", range(3))
def test_adaptation_raises_the_accuracy_on_the_target(seed, level):
    images, labels = clouds(400, 10 + seed)
    moved, _ = clouds(400, 20 + seed, SHIFT)
    held_out, truth = clouds(400, 30 + seed, SHIFT)
    model = config(seed=seed, level=level).build().fit([(images, labels)], [moved])
    before, after = (accuracy(f(held_out), truth) for f in (model.source_only, model))
    assert before < 0.75
    assert after > before + 0.2


def test_nothing_works_before_fit():
    model = config().build()
    assert model.accuracy_.isnan()
    for use in (model, model.source_only):
        with pytest.raises(NotFittedError, match="Call fit"):
            use(clouds(4, 0)[0])


def test_probabilities_sum_to_1_and_the_source_is_learned():
    model = config(adversary=SHORT, source_steps=400).build()
    model.fit([clouds(200, 0)], [clouds(50, 1, SHIFT)[0]])
    torch.testing.assert_close(model(clouds(9, 2)[0]).sum(dim=1), torch.ones(9))
    assert model.accuracy_ > 0.95
    assert accuracy(model.source_only(clouds(99, 3)[0]), clouds(99, 3)[1]) > 0.95


def test_the_adversary_does_not_change_the_source():
    data = [clouds(200, 0)], [clouds(50, 1, SHIFT)[0]]
    short, longer = (
        config(adversary=adversary).build().fit(*data)
        for adversary in (SHORT, AdversaryConfig(steps=30, batch_size=32, width=8))
    )
    one, other = short.source.state_dict(), longer.source.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    one, other = short.target.state_dict(), longer.target.state_dict()
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_at_the_level_of_features_the_classifier_stays_that_of_the_source():
    data = [clouds(200, 0)], [clouds(50, 1, SHIFT)[0]]
    features = config(adversary=SHORT, level="features").build().fit(*data)
    assert torch.equal(features.source[1].weight, features.target[1].weight)
    logits = config(adversary=SHORT, level="logits").build().fit(*data)
    assert not torch.equal(logits.source[1].weight, logits.target[1].weight)


def test_the_same_seed_gives_the_same_model_and_a_second_fit_forgets_the_first():
    data = [clouds(100, 0)], [clouds(50, 1, SHIFT)[0]]
    torch.manual_seed(1)
    one = config(adversary=SHORT, source_steps=20).build().fit(*data)
    torch.manual_seed(2)
    expected = torch.rand(1)
    torch.manual_seed(2)
    other = (
        config(adversary=SHORT, source_steps=20).build().fit([clouds(90, 5)], [clouds(60, 6)[0]])
    )
    other.fit(list(zip(*(x.chunk(3) for x in data[0][0]), strict=True)), data[1])
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one.state_dict()[k], v) for k, v in other.state_dict().items())


def test_state_dict_round_trip(tmp_path):
    model = config(adversary=SHORT).build().fit([clouds(100, 0)], [clouds(50, 1)[0]])
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    fresh = config(adversary=SHORT).build()
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(fresh(clouds(9, 2)[0]), model(clouds(9, 2)[0]))


def test_one_domain_in_bytes_is_refused_and_leaves_nothing_fitted():
    model = config(adversary=SHORT).build().fit([clouds(100, 0)], [clouds(50, 1)[0]])
    with pytest.raises(InvalidInputError, match=r"in \[0, 1\], got .* in the target"):
        model.fit([clouds(100, 0)], [255 * clouds(50, 1)[0]])
    assert model.accuracy_.isnan()


def test_labels_must_be_classes():
    images, labels = clouds(50, 0)
    with pytest.raises(InvalidInputError, match="from 0 to 1, got 1 to 2"):
        config(adversary=SHORT).build().fit([(images, labels + 1)], [images])


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_classes": 1},
        {"source_steps": 0},
        {"source_rate": 0.0},
        {"weight_decay": -1.0},
        {"level": "pixels"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        ADDAClassifier.Config(**wrong)


@pytest.mark.parametrize("wrong", [{"shift": 0.5}, {"rotation": -1.0}])
def test_variations_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        config(**wrong)


def test_both_domains_vary_in_training_and_nothing_else_does():
    images, labels = torch.rand(64, 1, 28, 28), torch.arange(64) % 2
    seen = []

    class Watched(LeNet):
        def forward(self, images):
            seen.append(images.detach())
            return super().forward(images)

    class Config(LeNet.Config):
        def build(self):
            return Watched(self)

    settings = config(encoder=Config(), source_steps=2, adversary=SHORT, rotation=20.0)
    model = settings.build().fit([(images, labels)], [images])
    known = {tuple(image.flatten()[300:304].tolist()) for image in images}
    plain = [all(tuple(i.flatten()[300:304].tolist()) in known for i in batch) for batch in seen]
    assert plain.count(True) == 2  # the source's own accuracy, in two batches
    assert len(plain) == 2 + 2 + 2 * VIEWS + 3
    again = settings.build().fit([(images, labels)], [images])
    torch.testing.assert_close(model(images), again(images))
