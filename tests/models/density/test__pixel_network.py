import pytest
import torch

from models.density import _pixel_network
from models.density._pixel_network import PixelNetwork, pick


def network(num_colours=1, levels=2, depth=2, dilations=(1,)):
    torch.manual_seed(0)
    return PixelNetwork(
        levels,
        width=6,
        above_width=5,
        depth=depth,
        num_colours=num_colours,
        dilations=dilations,
    )


def jacobian(model, height, width):
    """Derivative of the logits of each value with respect to each value; nothing cancels in it."""
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, 0.01, 0.1)
    known = torch.rand(1, 1, height, width, requires_grad=True)
    logits = model.along(known, model.above(known)).sum(dim=1).flatten()
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
    seen = []

    def kept(logits, draw):
        seen.append(logits)
        return pick(logits, draw)

    monkeypatch.setattr(_pixel_network, "pick", kept)
    drawn = model.sample(2, 12, 27, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(drawn).double()
    found = torch.stack(seen, dim=-1).unflatten(-1, (12, 27))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(drawn.unique()) == 3


def test_a_pick_has_the_probabilities_of_its_logits():
    shares = torch.tensor([0.1, 0.6, 0.3])
    picked = pick(shares.log().expand(20_000, 3), torch.Generator().manual_seed(0))
    found = torch.bincount(picked, minlength=3) / 20_000
    torch.testing.assert_close(found, shares, atol=0.015, rtol=0)
