"""The task itself is tested beside ``measure``, its workers in tests/flows/test_divided."""

from tasks import measure_shards, shards


def test_a_shard_is_remembered_by_nobody():
    task = measure_shards.measure_shard
    assert task.persist_result is False
    assert shards.ONCE["persist_result"] is False
