"""The task itself is tested beside ``measure``, its workers in tests/flows/test_divided."""

from tasks.evaluation import measure_sharded
from tasks.training import sharding


def test_a_shard_is_remembered_by_nobody():
    task = measure_sharded.measure_shard
    assert task.persist_result is False
    assert sharding.ONCE["persist_result"] is False
