import numpy as np
import torch
from scipy.stats import entropy

from models.functional.soft_assignment import divergence, soft_assignment, target_distribution


def test_soft_assignment_by_hand():
    # Squared distances 0 and 3 from the first point: kernels 1 and 1/4.
    embedding = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    centroids = torch.tensor([[0.0, 0.0], [1.0, 2.0**0.5]])
    q = soft_assignment(embedding, centroids)
    torch.testing.assert_close(q[0], torch.tensor([0.8, 0.2]))


def test_alpha_is_the_degrees_of_freedom():
    # Student t with 3 degrees of freedom: (1 + 3 / 3) ** -2 = 1/4 against 1.
    q = soft_assignment(torch.tensor([[0.0]]), torch.tensor([[0.0], [3.0**0.5]]), alpha=3.0)
    torch.testing.assert_close(q, torch.tensor([[0.8, 0.2]]))


def test_the_target_by_hand():
    q = torch.tensor([[0.8, 0.2], [0.4, 0.6]])
    # Frequencies 1.2 and 0.8: 0.64/1.2 against 0.04/0.8, 0.16/1.2 against 0.36/0.8.
    expected = torch.tensor([[0.64 / 1.2, 0.04 / 0.8], [0.16 / 1.2, 0.36 / 0.8]])
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(target_distribution(q), expected)
    torch.testing.assert_close(target_distribution(q)[0, 0], torch.tensor(32 / 35))


def test_the_target_is_surer_than_the_assignment():
    q = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    assert (target_distribution(q).amax(1) > q.amax(1)).all()


def test_renaming_clusters_renames_the_target():
    draw = torch.Generator().manual_seed(0)
    q = torch.rand(6, 4, generator=draw).softmax(1)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(target_distribution(q[:, order]), target_distribution(q)[:, order])


def test_the_divergence_is_scipys_relative_entropy_meaned_over_samples():
    draw = torch.Generator().manual_seed(0)
    q, p = (torch.rand(5, 3, generator=draw).softmax(1) for _ in range(2))
    expected = np.mean([entropy(a, b) for a, b in zip(p.numpy(), q.numpy(), strict=True)])
    np.testing.assert_allclose(divergence(p, q).item(), expected, rtol=1e-5)
    assert divergence(q, q).item() == 0
