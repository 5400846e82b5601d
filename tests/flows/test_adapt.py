"""A detector is carried over to a second camera, whose pictures are darker, flatter and noisy."""

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
from rich.console import Console

from flows.adapt import adapt
from flows.cli import trace_view
from flows.reproduce import reproduce
from models.errors import InvalidInputError, NotFoundError
from tasks.lineage.restore_data import restore
from tasks.lineage.trace import trace
from tasks.lineage.trace_file import trace_file
from tasks.records import TrainedModel
from tasks.registry import mlflow_store, model_versions
from tasks.training import encoder_store
from tests.flows.tiny import write


def second_camera(folder):
    """Other pictures of the same kind, as a worse camera would take them, of another size."""
    write(folder, seed=7, num_train=16, num_test=4)
    random = np.random.default_rng(1)
    for part in ("train", "test"):
        for path in (folder / part).rglob("*.png"):
            pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            flat = 40 + 0.5 * pixels + random.normal(0, 4, pixels.shape)
            blurred = cv2.GaussianBlur(np.clip(flat, 0, 255), (3, 3), 0)
            cv2.imwrite(str(path), cv2.resize(blurred, (72, 72)).round().astype(np.uint8))
    for path in (folder / "ground_truth").rglob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), cv2.resize(mask, (72, 72), interpolation=cv2.INTER_NEAREST))
    return folder


@pytest.fixture(scope="module")
def carried(trained):
    return adapt("tiny", "gate", second_camera(trained / "gate"), steps=20)


def tags():
    return mlflow_store.client().get_model_version("gate", "1").tags


def test_the_adapted_detector_is_compared_with_the_one_it_was_made_from(carried):
    assert (carried.name, carried.version, carried.former) == ("gate", 1, None)
    assert "of tiny version 1" in carried.why
    assert carried.champion == (1 if carried.action == "promote" else 0)
    assert {"challenger", "champion", "lower_bound"} <= carried.figures.keys()
    aliases = model_versions.aliases(mlflow_store.client(), "gate")
    assert aliases.get("champion") == (carried.champion or None)


def test_its_lineage_names_the_source_and_both_data_versions(carried):
    source = mlflow_store.client().get_model_version("tiny", "1").tags
    found = tags()
    assert (found["unseen.source_name"], found["unseen.source_version"]) == ("tiny", "1")
    assert found["unseen.source_digest"] == source["unseen.model_digest"]
    assert found["unseen.source_data_digest"] == source["unseen.data_digest"]
    assert found["unseen.data_name"] == "gate"
    assert found["unseen.data_digest"] != source["unseen.data_digest"]
    run = mlflow_store.client().get_run(found["unseen.pretext_run_id"])
    contexts = {each.tags[0].value: each.dataset.digest for each in run.inputs.dataset_inputs}
    assert contexts == {
        "training": found["unseen.data_digest"],
        "source": source["unseen.data_digest"],
    }


def test_a_trace_shows_what_it_was_adapted_from(carried):
    found = trace("gate@1")
    assert (found.source.name, found.source.version) == ("tiny", 1)
    assert found.source.data == trace("tiny").data
    assert found.pretext.backbone == "adapted"
    assert found.notes == ()
    console = Console(width=100, record=True, file=None)
    with console.capture() as capture:
        console.print(trace_view.render(found))
    shown = capture.get()
    assert "adapted from  tiny version 1" in shown
    assert "unseen trace tiny@1" in shown
    assert "adaptation run" in shown
    assert found.source.data.version.digest in shown
    assert json.loads(json.dumps(asdict(found)))["source"]["name"] == "tiny"


def test_a_file_of_the_first_camera_leads_to_the_detector_of_the_second(carried, trained):
    path = trained / "incoming" / "train" / "good" / "000.png"
    sightings = trace_file(path).found
    assert {(each.model, each.through) for each in sightings} >= {
        ("tiny", ("detector", "pretext")),
        ("gate", ("source",)),
    }
    (own,) = trace_file(trained / "gate" / "train" / "good" / "000.png").found
    assert (own.model, own.through) == ("gate", ("detector", "pretext"))


def test_what_it_was_trained_on_is_the_second_cameras(carried, tmp_path):
    restored = restore("gate@1", tmp_path / "restored")
    assert restored.data.name == "gate"


def test_the_statistics_are_those_of_the_source_and_encoder_and_thresholds_are_not(carried):
    client = mlflow_store.client()
    ours, theirs = (
        model_versions.load(client.get_model_version(name, "1")) for name in ("tiny", "gate")
    )
    one, other = ours.detector.state_dict(), theirs.detector.state_dict()
    changed = {name for name in one if not one[name].equal(other[name])}
    assert (
        {"alpha_", "beta_"}
        <= changed
        <= {"alpha_", "beta_", "phi_", *(name for name in one if name.startswith("encoder."))}
    )
    assert any(name.startswith("encoder.") for name in changed)
    assert theirs.preprocessing == replace(ours.preprocessing, image_size=(64, 64))


def test_the_adaptation_run_keeps_its_curves_and_its_encoder(carried):
    run_id = tags()["unseen.pretext_run_id"]
    curve = mlflow_store.client().get_metric_history(run_id, "discriminator_accuracy")
    assert [point.step for point in curve] == list(range(1, 21))
    encoder, known = encoder_store.load(
        TrainedModel(run_id=run_id, model_uri=f"runs:/{run_id}/encoder", data_digest="")
    )
    assert known["backbone"] == "adapted"
    assert all(value.isfinite().all() for value in encoder.state_dict().values())


def test_an_unchanged_adaptation_is_not_computed_again(carried):
    store = mlflow_store.client()
    experiment = store.get_experiment_by_name("gate").experiment_id
    before = len(store.search_runs([experiment]))
    again = adapt("tiny", "gate", steps=20)
    assert len(store.search_runs([experiment])) == before
    assert (again.version, again.action) == (carried.version, carried.action)
    assert len(store.search_model_versions("name='gate'")) == 1


def test_it_comes_out_bit_for_bit_when_it_is_adapted_again(carried):
    found = reproduce("gate@1")
    assert found.verdict == "identical", (found.tensors, found.metrics, found.notes)


def test_a_source_that_does_not_exist_is_a_clear_error(trained):
    with pytest.raises(NotFoundError, match="nobody"):
        adapt("nobody", "gate")


def test_steps_out_of_range_are_refused_before_anything_is_computed(trained):
    with pytest.raises(InvalidInputError, match="steps must be >= 1"):
        adapt("tiny", "gate", steps=0)
