"""Every adapter on disk keeps the promises of ``models.contracts.Adapter``."""

import dataclasses

import pytest
import torch

from models.adaptation.adda import AdversaryConfig
from models.contracts import Adapter, AdapterConfig
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError
from tests.models.tiny import Tiny

SMALL = {"adversary": AdversaryConfig(steps=12, batch_size=8, width=16, gate=0.0)}


@pytest.fixture
def adapter(adapter_class, encoder):
    return adapter_class.Config(**SMALL).build(encoder)


def state(encoder):
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_satisfies_the_protocols(adapter_class, adapter):
    assert isinstance(adapter_class.Config(), AdapterConfig)
    assert isinstance(adapter, Adapter)


def test_config_is_frozen_and_kept(adapter_class, adapter):
    assert adapter.config == adapter_class.Config(**SMALL)
    for field in dataclasses.fields(adapter.config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(adapter.config, field.name, None)


def test_before_fit_nothing_is_adapted(adapter, encoder):
    assert adapter.history_ == {}
    assert same(state(encoder), state(adapter.encoder))
    assert adapter.encoder is not encoder


def test_the_source_encoder_stays_bit_for_bit_and_the_target_encoder_changes(
    adapter, encoder, bright, dark
):
    before = state(encoder)
    adapter.fit([bright], [dark])
    assert same(before, state(encoder))
    after = state(adapter.encoder)
    assert not torch.equal(before["layers.0.weight"], after["layers.0.weight"])
    assert torch.equal(before["layers.1.running_mean"], after["layers.1.running_mean"])
    assert not adapter.encoder.training
    assert not any(weight.requires_grad for weight in adapter.encoder.parameters())


def test_each_step_leaves_figures(adapter, bright, dark):
    history = adapter.fit([bright], [dark]).history_
    steps = {len(values) for values in history.values()}
    assert len(steps) == 1
    assert steps.pop() > 0
    assert all(torch.tensor(values).isfinite().all() for values in history.values())


def test_the_same_seed_gives_the_same_encoder_whatever_the_global_seed(
    adapter_class, encoder, bright, dark
):
    made = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        made.append(adapter_class.Config(**SMALL).build(encoder).fit([bright], [dark]))
    assert same(state(made[0].encoder), state(made[1].encoder))
    other = adapter_class.Config(**SMALL, seed=1).build(encoder).fit([bright], [dark])
    assert not same(state(made[0].encoder), state(other.encoder))


def test_fit_leaves_global_randomness_alone(adapter, bright, dark):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    adapter.fit([bright], [dark])
    assert torch.equal(torch.rand(1), expected)


def test_a_second_fit_forgets_the_first(adapter, bright, dark):
    once = state(adapter.fit([bright], [dark]).encoder)
    adapter.fit([dark], [bright])
    assert same(once, state(adapter.fit([bright], [dark]).encoder))


def test_fit_does_not_depend_on_the_batch_size(adapter, bright, dark):
    whole = state(adapter.fit([bright], [dark]).encoder)
    split = state(adapter.fit(bright.chunk(5), dark.chunk(3)).encoder)
    for name, value in whole.items():
        torch.testing.assert_close(value, split[name], rtol=1e-3, atol=1e-4)


def test_progress_sees_every_step(adapter, bright, dark):
    seen = []

    def progress(steps, *, total, description):
        seen.append((description, total))
        return steps

    adapter.fit([bright], [dark], progress=progress)
    assert all(description and total > 0 for description, total in seen)
    assert seen


@pytest.mark.parametrize("scaled", ["source", "target"])
def test_a_domain_in_bytes_is_refused(adapter, bright, dark, scaled):
    source, target = (bright * 255, dark) if scaled == "source" else (bright, dark * 255)
    with pytest.raises(InvalidInputError, match=rf"in \[0, 1\], got .* in the {scaled}"):
        adapter.fit([source], [target])


def test_domains_of_different_sizes_are_refused(adapter, bright, dark):
    with pytest.raises(InvalidInputError, match="must have one size"):
        adapter.fit([bright], [dark[:, :, :8, :8]])


def test_too_few_images_are_refused(adapter, bright, dark):
    with pytest.raises(InvalidInputError, match=r"at least 8 images .* got 3 of the target"):
        adapter.fit([bright], [dark[:3]])
    with pytest.raises(InvalidInputError, match="got 0 of the source"):
        adapter.fit([], [dark])


def test_an_encoder_without_weights_is_refused(adapter_class, bright, dark):
    with pytest.raises(InvalidInputError, match="weights"):
        adapter_class.Config(**SMALL).build(Pixels.Config().build()).fit([bright], [dark])


def test_the_adapted_encoder_fits_into_a_fresh_one(adapter, bright, dark):
    adapter.fit([bright], [dark])
    fresh = Tiny()
    fresh.load_state_dict(adapter.encoder.state_dict())
    assert torch.equal(fresh.eval()(dark), adapter.encoder(dark))
