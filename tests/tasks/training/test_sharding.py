import os

import pytest

from models.errors import InvalidInputError
from tasks.training import sharding


@pytest.mark.parametrize(
    ("weights", "num", "expected"),
    [
        ([1, 1, 1, 1], 2, [(0, 2), (2, 4)]),
        ([3, 1, 1, 1], 2, [(0, 1), (1, 4)]),
        ([1, 1, 1], 5, [(0, 1), (1, 2), (2, 3)]),
        ([9, 1], 2, [(0, 1), (1, 2)]),
        ([0, 0, 0], 2, [(0, 1), (1, 3)]),
        ([5], 3, [(0, 1)]),
        ([], 2, []),
    ],
)
def test_shards_are_consecutive_and_weigh_about_the_same(weights, num, expected):
    assert [(each.start, each.stop) for each in sharding.cut(weights, num)] == expected


def test_nothing_is_divided_unless_it_is_asked_for():
    assert sharding.num() == 1
    with sharding.divided(1):
        assert sharding.num() == 1


@pytest.mark.parametrize(("num", "scheduler"), [(0, None), (1, "tcp://127.0.0.1:9")])
def test_numbers_that_make_no_sense_are_refused(num, scheduler):
    with pytest.raises(InvalidInputError, match="shards must be"), sharding.divided(num, scheduler):
        raise AssertionError


def test_our_own_workers_keep_freed_memory():
    distributed = pytest.importorskip("distributed")
    runner = sharding._runner(1, None)
    with (
        distributed.LocalCluster(**runner.cluster_kwargs) as cluster,
        distributed.Client(cluster) as client,
    ):
        told = client.run(lambda: [os.environ[name] for name in sharding.MALLOC])
    assert list(told.values()) == [[str(sharding.KEPT)] * 2]
