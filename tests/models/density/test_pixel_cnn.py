import itertools
import math

import pytest
import torch

from models.density.pixel_cnn import PixelCnn, PixelNetwork
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError
from models.metrics import detection


def build(channels=1, **settings):
    settings = {"width": 8, "vertical_width": 8, "depth": 1, "batch_size": 16, **settings}
    return PixelCnn.Config(**settings).build(Pixels.Config(channels=channels).build())


def every_image(levels, shape):
    """All images of some levels: one row for each."""
    values = itertools.product(range(levels), repeat=math.prod(shape))
    return torch.tensor(list(values)).reshape(-1, *shape).float() / (levels - 1)


@pytest.fixture(scope="module")
def fitted():
    """A model of 2 x 3 binary images in which a few patterns are common."""
    images = every_image(2, (1, 2, 3))
    common = images[[7, 7, 7, 21, 21, 42, 56, 63]].repeat(12, 1, 1, 1)
    return build(epochs=12).fit([common], [common])


def test_the_probabilities_of_all_images_sum_to_one(fitted):
    shares = fitted.log_likelihood(every_image(2, (1, 2, 3))).double().exp()
    assert len(shares) == 64
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)
    assert shares.max() > 5 / 64


@pytest.mark.parametrize(("levels", "shape"), [(3, (2, 1, 2)), (2, (3, 2, 1))])
def test_so_do_those_of_images_with_colours_and_more_levels(levels, shape):
    images = every_image(levels, shape)
    model = build(shape[0], levels=levels, epochs=2).fit([images[::3]], [images])
    shares = model.log_likelihood(images).double().exp()
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)
    assert shares.max() > 2 * shares.min()


def test_samples_have_the_probabilities_that_the_model_gives(fitted):
    shares = fitted.log_likelihood(every_image(2, (1, 2, 3))).exp()
    drawn = fitted.sample(4000, seed=1).flatten(1).long() @ 2 ** torch.arange(5, -1, -1)
    found = torch.bincount(drawn, minlength=64) / 4000
    torch.testing.assert_close(found, shares, atol=0.03, rtol=0)
    assert shares.max() > 0.1


def test_scores_are_minus_the_log_likelihood_and_the_map_holds_its_parts(fitted):
    images = every_image(2, (1, 2, 3))
    raw = build(neighbourhood=1, epochs=1).fit([images], [images])
    scores = raw(images)
    torch.testing.assert_close(scores.image_score, -raw.log_likelihood(images))
    torch.testing.assert_close(scores.anomaly_map.sum(dim=(1, 2)), scores.image_score)
    torch.testing.assert_close(
        raw.bits_per_dim(images), scores.image_score / (6 * math.log(2)), rtol=1e-5, atol=0
    )


def test_a_model_that_knows_nothing_needs_one_bit_for_each_binary_value():
    draw = torch.Generator().manual_seed(0)
    images = (torch.rand(64, 1, 4, 4, generator=draw) > 0.5).float()
    model = build(epochs=1, learning_rate=1e-6).fit([images], [images])
    assert model.bits_per_dim(images).mean() == pytest.approx(1, abs=0.05)


def test_gray_values_are_binarised_anew_in_every_epoch():
    images = torch.full((40, 1, 6, 6), 0.5)
    model = build(epochs=15).fit([images], [images])
    # A binarisation drawn once could be learnt by heart; a fair coin takes log 2 nats for ever.
    assert model.history_[-1] == pytest.approx(36 * math.log(2), rel=0.03)


def test_gray_images_are_scored_by_one_binarisation_and_binary_ones_as_they_are(fitted):
    gray = torch.full((3, 1, 2, 3), 0.5)
    scores = fitted(gray).image_score
    assert torch.equal(scores, fitted(gray).image_score)
    binary = every_image(2, (1, 2, 3))
    assert scores[0] in fitted(binary).image_score
    other = PixelCnn.Config(**{**vars(fitted.config), "seed": 9}).build(fitted.encoder)
    other.load_state_dict(fitted.state_dict())
    assert torch.equal(other(binary).image_score, fitted(binary).image_score)


def clothes(num, draw):
    """Patches of gray cloth on black: in binary images, noise."""
    images = torch.zeros(num, 1, 12, 12)
    for image, left in zip(images, torch.randint(1, 4, (num,), generator=draw), strict=True):
        image[:, 2:11, left : left + 8] = 0.3 + 0.4 * torch.rand(1, 9, 8, generator=draw)
    return images


def digits(num, draw):
    """One bright stroke on black, which no piece of cloth looks like."""
    images = torch.zeros(num, 1, 12, 12)
    for image, left in zip(images, torch.randint(3, 9, (num,), generator=draw), strict=True):
        image[:, 2:10, left : left + 2] = 1.0
    return images


def test_the_known_failure_simpler_images_are_more_likely_than_normal_ones():
    draw = torch.Generator().manual_seed(0)
    model = build(epochs=6).fit([clothes(96, draw)], [clothes(24, draw)])
    normal, simple = clothes(40, draw), digits(40, draw)
    assert model.log_likelihood(simple).mean() > model.log_likelihood(normal).mean()
    labels = torch.arange(80) >= 40
    scores = model(torch.cat([normal, simple])).image_score
    assert detection.auc(labels.numpy(), scores.numpy()) < 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": 1},
        {"levels": 257},
        {"width": 0},
        {"depth": 0},
        {"vertical_width": 0},
        {"dilations": ()},
        {"dilations": (1, 0)},
    ],
)
def test_sizes_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        PixelCnn.Config(**wrong)


def network(num_colours=1, levels=2, depth=2, dilations=(1,)):
    torch.manual_seed(0)
    return PixelNetwork(
        levels,
        width=6,
        vertical_width=5,
        depth=depth,
        num_colours=num_colours,
        dilations=dilations,
    )


def jacobian(model, height, width):
    """Derivative of the logits of each value with respect to each value; nothing cancels in it."""
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, 0.01, 0.1)
    known = torch.rand(1, 1, height, width, requires_grad=True)
    logits = model.horizontal(known, model.vertical(known)).sum(dim=1).flatten()
    return torch.stack(
        [torch.autograd.grad(one, known, retain_graph=True)[0].flatten() for one in logits]
    )


@pytest.mark.parametrize(
    ("colours", "height", "width", "dilations"),
    [(1, 6, 8, (1,)), (3, 4, 9, (1,)), (1, 9, 10, (1, 2))],
)
def test_no_value_sees_itself_or_a_later_one_and_every_earlier_one_is_seen(
    colours, height, width, dilations
):
    seen = jacobian(network(colours, dilations=dilations), height, width) != 0
    assert not seen.triu().any()
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


@pytest.mark.parametrize(("dilations", "reach"), [((1,), 3), ((1, 2, 4), 7), ((2, 1), 5)])
def test_dilations_are_taken_in_turn_and_add_to_what_is_seen(dilations, reach):
    seen = jacobian(network(depth=3, dilations=dilations), 15, 3) != 0
    rows = seen[14 * 3 + 1].unflatten(0, (15, 3)).any(dim=1).nonzero().flatten()
    assert rows.tolist() == list(range(14 - 6 - reach, 15))


def test_the_logits_change_with_earlier_values_alone():
    model = network(levels=4)
    draw = torch.Generator().manual_seed(1)
    levels = torch.randint(4, (1, 1, 6, 7), generator=draw)
    changed = levels.clone()
    changed[0, 0, 3, 4] = (changed[0, 0, 3, 4] + 1) % 4
    with torch.no_grad():
        differs = (model(levels) != model(changed)).any(dim=1)[0].flatten()
    place = 3 * 7 + 4
    assert not differs[: place + 1].any()
    assert differs[place + 1]
    assert differs[4 * 7 : 5 * 7].any()


@pytest.mark.parametrize(("colours", "depth"), [(1, 1), (3, 1), (1, 2)])
def test_the_part_of_an_image_that_sampling_looks_at_says_what_the_whole_says(
    colours, depth, monkeypatch
):
    model = network(colours, levels=3, depth=depth, dilations=(1, 2))
    seen, horizontal = [], model.horizontal

    def kept(*args, **kwargs):
        logits = horizontal(*args, **kwargs)
        seen.append(logits[:, :, 0, -1])
        return logits

    monkeypatch.setattr(model, "horizontal", kept)
    drawn = model.sample(2, 12, 27, torch.Generator().manual_seed(0))
    with torch.no_grad():
        monkeypatch.undo()
        expected = model(drawn)
    found = torch.stack(seen, dim=-1).unflatten(-1, (12, 27))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(drawn.unique()) == 3
