import dataclasses

from models.one_class.deep_anomaly import DeepAnomaly
from models.one_class.knn import NearestNeighbours
from tasks.records import DataVersion, Source, TrainedModel, Training, Validation
from tasks.registry import key_parts

VERSION = DataVersion(
    name="a", digest="d", dvc_md5="m", git_commit="c", remote=None, num_files=1, num_bytes=1
)
SOURCE = Source(
    name="a",
    version=1,
    run_id="r",
    model_uri="models:/m",
    digest="s",
    data=VERSION,
    training=Training(),
    recipe={"promotion": {"margin": 0.1}},
)


def step() -> None:
    raise AssertionError("It is not run.")


def parts(**arguments):
    return key_parts.parts(step, arguments, {}, ())


def test_another_set_in_data_dvc_makes_nobodys_key_stale():
    elsewhere = dataclasses.replace(VERSION, dvc_md5="other", git_commit="other", remote="s3://x")
    assert parts(version=VERSION) == parts(version=elsewhere)


def test_a_repeated_validation_of_the_same_data_trains_nothing_again():
    once = Validation(run_id="r", data_digest="d", suite="s", num_expectations=1)
    again = dataclasses.replace(once, run_id="q")
    other = dataclasses.replace(once, data_digest="e")
    assert parts(validation=once) == parts(validation=again) != parts(validation=other)


def test_a_run_and_a_source_count_by_what_they_name():
    record = TrainedModel(run_id="r", model_uri="runs:/r/encoder", data_digest="d")
    assert parts(encoder=record)["data"] == {"encoder": "r"}
    other = dataclasses.replace(SOURCE, name="b", recipe={"promotion": {"margin": 0.2}})
    assert parts(source=SOURCE) == parts(source=other)
    assert parts(source=SOURCE) != parts(source=dataclasses.replace(SOURCE, digest="t"))


def test_a_configuration_is_told_field_by_field_with_the_code_of_its_classes():
    found = parts(detector=NearestNeighbours.Config(grid=4), seed=1)
    assert found["configuration"]["detector.grid"] == "4"
    assert "knn.NearestNeighbours.Config" in found["configuration"]["detector.class"]
    assert found["configuration"]["seed"] == "1"
    assert "models.one_class.knn" in found["code"]
    assert "models.one_class.deep_anomaly" not in found["code"]
    inner = parts(detector=DeepAnomaly.Config())["configuration"]
    assert any(name.startswith("detector.layer.") for name in inner)


def test_libraries_that_change_numbers_are_told_by_their_usual_names():
    found = key_parts.libraries()
    assert {"torch", "torchvision", "numpy", "OpenCV", "scikit-learn"} <= found.keys()
    assert all(value[0].isdigit() for value in found.values())


def test_classes_of_a_recipe_are_told_as_they_are_called_now():
    recipe = {"encoder": {"class": "tasks.promote.PromotionPolicy"}, "pretext": None}
    assert key_parts.classes(recipe, "encoder", "pretext", "detector") == [
        "tasks.registry.policy.PromotionPolicy"
    ]
