import numpy as np
import pytest
import torch

from benchmarks import _judge


def squares(num, seed):
    """Two classes of 28 x 28 images: a square in one corner or in the other."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (num,), generator=draw)
    images = (torch.rand(num, 1, 28, 28, generator=draw) > 0.9).float()
    for image, label in zip(images, labels.tolist(), strict=True):
        corner = slice(2, 12) if label else slice(16, 26)
        image[:, corner, corner] = 1
    return images, labels.numpy()


@pytest.fixture(scope="module")
def judged():
    train, labels = squares(320, 0)
    test, test_labels = squares(60, 1)
    judge = _judge.trained(train, labels, seed=0, device=torch.device("cpu"))
    return judge, train, test, test_labels


def test_the_judge_learns_to_tell_classes_apart(judged):
    judge, _, test, labels = judged
    features, shares = judge.of(test)
    assert features.shape == (60, _judge.FEATURES)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares.argmax(axis=1) == labels).mean() > 0.95


def test_training_leaves_global_randomness_alone(judged):
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    _judge.trained(*squares(64, 2), seed=0, device=torch.device("cpu"))
    assert torch.equal(torch.rand(1), expected)


def test_noise_is_judged_worse_than_training_images(judged):
    judge, train, test, _ = judged
    noise = torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    found = _judge.verdict(judge, noise, train, test)
    assert found["classifier_fid"] > 3 * found["classifier_fid_real"]
    assert found["coverage_min"] < found["coverage_min_real"]
    assert found["precision"] < found["precision_real"]
    assert found["classifier_is"] < found["classifier_is_real"] <= 2


def test_memorised_images_have_no_distance(judged):
    judge, train, test, _ = judged
    found = _judge.verdict(judge, train[:60], train, test)
    assert found["nearest_training_samples"] == pytest.approx(0, abs=1e-6)
    assert found["nearest_training_test"] > 1
