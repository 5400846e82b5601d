import pytest

from benchmarks.fleet import Fleet, needs


def test_needs_follow_from_the_assumptions_by_hand():
    found = needs(
        Fleet(
            cameras=100,
            cameras_per_model=10,
            frames_per_second=2,
            frames_per_core_second=10,
            utilisation=0.5,
            bytes_per_frame=1000,
            training_hours=1,
        )
    )
    assert found["frames_per_second"] == 200
    assert found["serving_cores"] == 40
    assert found["network_gbit_per_second"] == pytest.approx(0.0016)
    assert found["p_value_for_that_many_false_alarms"] == pytest.approx(1 / 172_800)
    assert found["serving_memory_gb_at_one_process_per_model"] == pytest.approx(6.0)
    assert found["data_versions_gb"] == pytest.approx(100 * 7200 * 1000 / 1e9)
    assert found["training_cores"] == pytest.approx(10 * 312 / 86_400 / 0.5)


def test_all_grows_with_the_cameras_and_less_is_needed_where_they_share_models():
    one, ten = needs(Fleet(cameras=1000)), needs(Fleet(cameras=10_000))
    constant = {"p_value_for_that_many_false_alarms"}
    for name, value in one.items():
        assert ten[name] == pytest.approx(value * (1 if name in constant else 10))
    alone = needs(Fleet(cameras_per_model=1))
    assert alone["serving_memory_gb_at_one_process_per_model"] == pytest.approx(6000)
    assert alone["serving_cores"] == ten["serving_cores"]
