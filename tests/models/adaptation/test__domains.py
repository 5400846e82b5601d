import pytest
import torch

from models.adaptation._domains import Domain, check_alike
from models.errors import InvalidInputError


def passed(name, *batches):
    domain = Domain(name)
    assert all(a is b for a, b in zip(domain.watch(batches), batches, strict=True))
    return domain


def test_good_images_pass_unchanged_and_are_counted():
    domain = passed("source", torch.rand(5, 1, 4, 6), torch.ones(4, 1, 4, 6))
    assert (domain.num_images, domain.shape) == (9, (1, 4, 6))
    check_alike(domain, passed("target", torch.rand(8, 1, 4, 6)))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_not_between_0_and_1_is_refused(value):
    images = torch.full((8, 1, 2, 2), 0.5)
    images[3, 0, 1, 1] = value
    with pytest.raises(InvalidInputError, match="in the target"):
        list(Domain("target").watch([images]))


def test_images_that_were_divided_twice_are_refused():
    domain = passed("target", torch.ones(8, 1, 2, 2) / 255)
    with pytest.raises(InvalidInputError, match="once, not twice"):
        domain.check()


def test_too_few_are_refused():
    with pytest.raises(InvalidInputError, match="at least 8 images of each domain, got 7"):
        passed("source", torch.rand(7, 1, 2, 2)).check()


def test_sizes_must_agree_within_a_domain_and_between_domains():
    with pytest.raises(InvalidInputError, match=r"\(1, 2, 2\) and \(1, 3, 2\)"):
        list(Domain("source").watch([torch.rand(8, 1, 2, 2), torch.rand(8, 1, 3, 2)]))
    with pytest.raises(InvalidInputError, match=r"\(1, 2, 2\) in the source and \(3, 2, 2\)"):
        check_alike(
            passed("source", torch.rand(8, 1, 2, 2)), passed("target", torch.rand(8, 3, 2, 2))
        )
