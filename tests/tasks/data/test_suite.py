from dataclasses import fields

import pytest

from tasks.data.limits import Expectations
from tasks.data.manifest import Row

CHAMPION = (0.2, 0.4)


@pytest.fixture(scope="module")
def build():
    from tasks.data.suite import build

    return build


def test_names_are_unique_and_descriptions_say_what_must_hold(build):
    found = build(Expectations(), CHAMPION)
    names = [each.meta["name"] for each in found]
    assert len(set(names)) == len(names)
    assert all(len(each.description.split()) > 3 for each in found)


def test_every_column_is_one_of_the_manifest(build):
    columns = {field.name for field in fields(Row)}
    for each in build(Expectations(), CHAMPION):
        used = {getattr(each, name, None) for name in ("column", "column_A", "column_B")}
        assert used - {None} <= columns
        assert used != {None}


def test_without_a_champion_nothing_is_expected_of_the_intensity(build):
    lacking = {e.meta["name"] for e in build(Expectations(), CHAMPION)} - {
        e.meta["name"] for e in build(Expectations(), None)
    }
    assert lacking == {"intensity_as_the_champions", "intensity_mostly_as_the_champions"}


def test_where_only_clusters_are_judged_no_anomalies_are_missed(build):
    whole, without = (
        {each.meta["name"] for each in build(Expectations(anomalies=wanted), None)}
        for wanted in (True, False)
    )
    assert whole - without == {"both_labels_in_test"}


def test_the_champions_range_is_widened_by_the_tolerance(build):
    found = {each.meta["name"]: each for each in build(Expectations(), CHAMPION)}
    some, most = found["intensity_as_the_champions"], found["intensity_mostly_as_the_champions"]
    assert (most.min_value, most.max_value) == (0.1, 0.5)
    assert (some.severity.value, most.severity.value) == ("warning", "critical")
    assert (some.mostly, most.mostly) == (1, 0.99)


def test_limits_come_from_the_expectations(build):
    limits = Expectations(
        min_train_images=3, min_test_images=4, min_frames_per_clip=5, frame_step=2
    )
    found = {each.meta["name"]: each for each in build(limits, None)}
    assert found["enough_training_images"].min_value == 3
    assert found["enough_test_images"].min_value == 4
    assert found["enough_frames_per_clip"].min_value == 5
    assert found["no_gaps_in_clips"].value_set == [2]
