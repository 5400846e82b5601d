import pytest


@pytest.fixture(scope="module")
def build():
    from tasks.data.suite import build

    return build


def named(expectations):
    return {each.meta["name"]: each for each in expectations}


def test_the_range_of_deep_images_is_told(build):
    from tasks.data.limits import Expectations

    found = named(build(Expectations(), None, (0, 4095)))
    assert "0 black and 4095 white" in found["images_have_8_bits"].description
    assert found["images_have_8_bits"].severity.value == "warning"


def test_a_frame_rate_is_expected_only_where_there_is_one(build):
    from tasks.data.limits import Expectations

    found = named(build(Expectations(), None, None, 25.0))["one_frame_rate"]
    assert found.min_value < 25 < found.max_value
    assert "one_frame_rate" not in named(build(Expectations(), None))


def test_gaps_are_a_warning_for_models_of_single_images(build):
    from tasks.data.limits import Expectations

    severity = {
        least: named(build(Expectations(min_frames_per_clip=least), None))["no_gaps_in_clips"]
        for least in (1, 2)
    }
    assert [each.severity.value for each in severity.values()] == ["warning", "critical"]
