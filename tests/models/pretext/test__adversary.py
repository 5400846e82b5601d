import torch
from lightning_fabric import Fabric

from models.functional.holes import centre_holes
from models.pretext._adversary import Adversary, Critic
from models.pretext._hiding import hide

HOLE = centre_holes(8, 32, 32, 0.5)
NONE = torch.zeros(8, dtype=torch.bool)


def adversary():
    return Adversary(8, 1e-2, Fabric(accelerator="cpu", devices=1), seed=0)


def test_a_patch_has_eight_pixels():
    assert Critic(4)(torch.rand(2, 3, 32, 40)).shape == (2, 1, 4, 5)


def test_learns_to_tell_blurred_paintings_from_true_ones():
    draw = torch.Generator().manual_seed(0)
    hidden = hide(torch.rand(8, 1, 32, 32, generator=draw), HOLE, NONE)
    blurred, critic = torch.full((8, 3, 32, 32), 0.5), adversary()
    for _ in range(60):
        critic.learn(hidden, blurred, 1.0)
    assert critic.doubt(hidden, hidden.target) < 0.3
    assert critic.doubt(hidden, blurred) > 1


def test_doubt_reaches_the_painting_only_where_it_is_asked_for():
    hidden = hide(torch.rand(8, 1, 32, 32), HOLE, NONE)
    painted = torch.rand(8, 3, 32, 32, requires_grad=True)
    adversary().doubt(hidden, painted).backward()
    moved = painted.grad.abs().amax(dim=1) > 0
    assert moved[HOLE].any()
    assert not moved[~HOLE].any()


def test_learning_leaves_the_painting_and_the_global_seed_alone():
    state = torch.get_rng_state()
    critic = adversary()
    assert torch.equal(state, torch.get_rng_state())
    hidden = hide(torch.rand(8, 1, 32, 32), HOLE, NONE)
    painted = torch.rand(8, 3, 32, 32, requires_grad=True)
    critic.learn(hidden, painted, 1.0)
    assert painted.grad is None
