import dataclasses

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from models.errors import InvalidInputError
from models.functional.augmentations import resample
from models.functional.families import (
    FAMILIES,
    NUM_UNIFORM,
    Strengths,
    one_family_views,
    view_side,
)

NUM = 600


def noise(num=NUM, channels=1, side=40):
    """Shows nothing, so that only traces of the rendering can tell the families."""
    draw = torch.Generator().manual_seed(0)
    return (0.5 + 0.1 * torch.randn(num, channels, side, side, generator=draw)).clamp(0, 1)


def changed(images, family=None, strengths=None):
    families = (
        torch.arange(len(images)) % 4 if family is None else torch.full((len(images),), family)
    )
    uniform = torch.rand(len(images), NUM_UNIFORM, generator=torch.Generator().manual_seed(1))
    return one_family_views(images, families, uniform, strengths or Strengths())


def standardised(views):
    flat = views[:, 0]
    return (flat - flat.mean(dim=(1, 2), keepdim=True)) / flat.std(dim=(1, 2), keepdim=True)


def power(pixels):
    return pixels.square().flatten(1).mean(dim=1)


def high_frequencies(views):
    """Power of differences: over the whole view, and how it varies from place to place."""
    pixels = standardised(views)
    across, down = pixels.diff(dim=2), pixels.diff(dim=1)
    wide = pixels[:, :, 2:] - pixels[:, :, :-2]
    places = [d.square().unfold(1, 5, 5).unfold(2, 5, 5).mean(dim=(3, 4)) for d in (across, down)]
    return torch.stack(
        [*map(power, (across, down, wide, across.diff(dim=1)))]
        + [place.std(dim=(1, 2)) for place in places],
        dim=1,
    )


def borders(views):
    """Level, power and steepness of the outermost pixels."""
    pixels = standardised(views)
    ring = torch.cat([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], dim=1)
    steps = [pixels.diff(dim=d).select(d, place) for d in (1, 2) for place in (0, -1)]
    return torch.stack([ring.mean(dim=1), power(ring), *map(power, steps)], dim=1)


def told(features, families):
    """Cross-validated share of families that a quadratic classifier tells, each counted alike."""
    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2),
        LogisticRegression(max_iter=500, class_weight="balanced"),
    )
    scores = cross_val_score(
        model, features.numpy(), families.numpy(), cv=4, scoring="balanced_accuracy"
    )
    return scores.mean()


def careless(images):
    """What a naive task would show: only shifted views are interpolated, over a black border."""
    views = images.clone()[:, :, 4:-4, 4:-4]
    shift = torch.rand(len(images), 2, generator=torch.Generator().manual_seed(1)) * 0.2
    black = torch.nn.functional.pad(images[:, :, 4:-4, 4:-4], (20, 20, 20, 20))
    still = torch.ones(len(images)), torch.zeros(len(images))
    shifted = resample(black, shift, *still, views.shape[-1])
    views[::4] = shifted[::4]
    return views


@pytest.fixture(scope="module")
def views():
    return changed(noise())


@pytest.mark.parametrize("traces", [high_frequencies, borders])
def test_resampling_leaves_no_trace_of_a_translation(views, traces):
    families = torch.arange(NUM) % 4
    asked = families != FAMILIES.index("scale")
    moved = families == FAMILIES.index("translation")
    assert told(traces(views)[asked], moved[asked]) < 0.58
    assert told(traces(careless(noise()))[asked], moved[asked]) > 0.9


@pytest.mark.parametrize(("traces", "most"), [(high_frequencies, 0.4), (borders, 0.32)])
def test_noise_hardly_tells_the_four_families(views, traces, most):
    assert told(traces(views), torch.arange(NUM) % 4) < most


@pytest.mark.parametrize(
    "strengths", [Strengths(), Strengths(translation=0.4), Strengths(scale=1.6)]
)
def test_a_view_never_looks_beyond_its_crop(strengths, monkeypatch):
    sample = torch.nn.functional.grid_sample

    def black_outside(*args, **kwargs):
        return sample(*args, **{**kwargs, "padding_mode": "zeros"})

    monkeypatch.setattr(torch.nn.functional, "grid_sample", black_outside)
    for family in ("translation", "scale"):
        views = changed(torch.ones(400, 1, 40, 40), FAMILIES.index(family), strengths)
        torch.testing.assert_close(views, torch.ones_like(views))


def test_changes_clip_nothing_and_stay_in_range():
    views = changed(torch.rand(400, 3, 24, 24))
    assert views.min() >= 0
    assert views.max() <= 1
    lowered = changed(noise(100), FAMILIES.index("contrast"))
    assert ((lowered == 0) | (lowered == 1)).float().mean() < 1e-3


def test_every_view_is_changed_by_its_own_family():
    shade = torch.linspace(0.3, 0.6, 40).expand(50, 1, 40, 40)
    plain = shade[..., 8:-8, 8:-8]
    spread = {
        name: changed(shade, place).flatten(1).std(dim=1) / plain.flatten(1).std(dim=1)
        for place, name in enumerate(FAMILIES)
    }
    same = spread["translation"].mean()
    assert (spread["scale"] / same).log().abs().min() > 0.1
    assert (spread["contrast"] / same).log().abs().min() > 0.4
    moved = changed(shade, FAMILIES.index("translation")).mean(dim=(1, 2, 3))
    assert moved.std() > 0.005


def test_gray_images_change_their_tone_and_colours_their_hue():
    colour = FAMILIES.index("colour")
    gray = torch.full((20, 1, 24, 24), 0.5)
    assert (changed(gray, colour) - 0.5).abs().amin(dim=(1, 2, 3)).min() > 0.05
    assert torch.equal(changed(gray.expand(-1, 3, -1, -1), colour)[:, :1], changed(gray, colour))
    red = torch.tensor([0.9, 0.1, 0.1])[:, None, None].expand(20, 3, 24, 24)
    turned = changed(red, colour)
    torch.testing.assert_close(
        turned.amax(dim=1), red[:, 0, 5:-5, 5:-5][:, : turned.shape[2], : turned.shape[3]]
    )
    assert (turned - red[..., :1, :1]).abs().amax(dim=(1, 2, 3)).min() > 0.3


def test_all_frames_of_a_clip_change_alike():
    frame = torch.rand(40, 1, 30, 30)
    views = changed(frame.expand(-1, 6, -1, -1).contiguous())
    torch.testing.assert_close(views, views[:, :1].expand(-1, 6, -1, -1))


def test_a_crop_that_is_too_small_is_refused():
    smallest = next(side for side in range(8, 99) if view_side_or_none(side))
    with pytest.raises(InvalidInputError, match=f"at least {smallest} x {smallest}"):
        view_side(10, Strengths())


def view_side_or_none(side):
    try:
        return view_side(side, Strengths())
    except InvalidInputError:
        return None


@pytest.mark.parametrize(
    "wrong", [{"translation": 0.0}, {"scale": 1.0}, {"contrast": 0.5}, {"power": 1.0}]
)
def test_strengths_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Strengths(**wrong)
    assert dataclasses.asdict(Strengths())
