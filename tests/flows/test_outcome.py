"""What people see of a flow run in Prefect's and MLflow's pages, on the real servers."""

import shutil
import threading
import time

import mlflow
import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import StateType

from flows import outcome
from flows.retrain import retrain
from models.errors import DataValidationError
from tasks.records import Decision
from tasks.registry import history, mlflow_store
from tasks.training.retrain_turn import NotYetError, turn
from tests.flows.conftest import RECIPE

KNN = RECIPE.replace(":tiny", ":tiny_knn")


@pytest.fixture(scope="module")
def client(workplace):
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def ended(workplace, client):
    """The state of a first retrain, and its flow run."""
    state = retrain(KNN, workplace / "incoming", return_state=True)
    return state, client.read_flow_run(state.state_details.flow_run_id)


def artifacts(client, run):
    only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {each.key: each for each in client.read_artifacts(artifact_filter=only)}


def children(parent):
    store = mlflow_store.client()
    wanted = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    return store.search_runs([parent.info.experiment_id], wanted)


def parents(kind="retrain", name="tiny_knn"):
    store = mlflow_store.client()
    experiment = store.get_experiment_by_name(name)
    return store.search_runs([experiment.experiment_id], f"tags.`unseen.kind` = '{kind}'")


def test_a_flow_run_is_named_tagged_and_says_what_happened(ended):
    state, run = ended
    digest = mlflow_store.client().get_model_version("tiny_knn", "1").tags["data_digest"][:8]
    assert run.name == f"tiny_knn {digest}"
    assert {"recipe:tiny_knn", "data:tiny", "model:tiny_knn", "decision:promote"} <= set(run.tags)
    assert (run.state.name, run.state.message.partition(":")[0]) == ("Completed", "Promoted 1")
    assert state.result().action == "promote"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("promote", "Promoted 2: It is."),
        ("refuse", "Refused 2: It is."),
        ("rollback", "Rolled back 2: It is."),
        ("pin", "Pinned 2: It is."),
        (history.BY_MLFLOW, "Set in MLflow to 2: It is."),
    ],
)
def test_every_decision_has_words_of_its_own(action, words):
    about = {"name": "tiny", "version": 2, "champion": 2, "former": 1}
    decided = Decision(action=action, **about, why="It is.", who="Ada", when=history.now())
    assert outcome.sentence(decided) == words


def test_steps_are_named_by_method_and_data(ended, client):
    only = FlowRunFilter(id=FlowRunFilterId(any_=[ended[1].id]))
    digest = ended[1].name.split()[1]
    wanted = {f"fit NearestNeighbours on tiny {digest}", "promote tiny_knn 1"}
    deadline, names = time.monotonic() + 60, set()
    while not wanted <= names and time.monotonic() < deadline:
        time.sleep(0.3)  # Prefect is told of task runs by events, after the flow run's end too
        names = {each.name for each in client.read_task_runs(flow_run_filter=only)}
    assert wanted <= names


def test_artifacts_show_figures_decision_and_picture(ended, client):
    found = artifacts(client, ended[1])
    assert found["tiny-knn-figures"].type == "table"
    assert "image_auroc" in found["tiny-knn-figures"].data
    assert found["tiny-knn-decision"].data.startswith("## Promoted 1")
    assert "Nothing served yet" in found["tiny-knn-decision"].data
    assert found["tiny-knn-picture"].data.startswith("data:image/png;base64,")


def test_links_lead_into_mlflows_pages_where_these_are(ended, client, monkeypatch):
    monkeypatch.setattr(outcome.mlflow_server, "address", lambda: "http://mlflow.example")
    store = mlflow_store.client()
    run_id = store.get_model_version("tiny_knn", "1").tags["unseen.validation_run_id"]
    page = outcome._run_page(store, run_id, f"{outcome.DOCS}/index.html")
    assert page.startswith("http://mlflow.example/#/experiments/")
    place = f"/runs/{run_id}/artifacts/validation/data_docs/index.html"
    assert page.endswith(f"{place}?workflowType=machine_learning")
    assert store.list_artifacts(run_id, outcome.DOCS)


def test_runs_of_one_retrain_are_parent_and_children_and_an_unchanged_one_leaves_none(ended):
    (parent,) = parents()
    assert (parent.info.status, parent.data.tags["decision"]) == ("FINISHED", "promote")
    assert parent.data.metrics["image_auroc"] > 0
    assert parent.info.run_name.startswith("retrain tiny_knn ")
    made = {each.data.tags["unseen.kind"]: each.info.run_name for each in children(parent)}
    assert made.keys() == {"validate", "pretrain", "fit"}
    assert made["fit"].startswith("fit NearestNeighbours on tiny ")
    retrain(KNN)
    assert len(parents()) == 1


def test_an_experiment_opens_in_the_view_of_training(ended):
    experiment = mlflow_store.client().get_experiment_by_name("tiny_knn")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    mlflow_store.client().delete_experiment_tag(experiment.experiment_id, "mlflow.experimentKind")
    mlflow_store.experiment("tiny_knn")
    experiment = mlflow_store.client().get_experiment_by_name("tiny_knn")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_version_tells_people_what_it_is(ended):
    store = mlflow_store.client()
    version = store.get_model_version("tiny_knn", "1")
    assert version.description.startswith("NearestNeighbours on tiny ")
    assert "image_auroc" in version.description
    assert (version.tags["recipe"], version.tags["decision"]) == ("tiny_knn", "promote")
    assert store.get_registered_model("tiny_knn").description
    wanted = f"name = 'tiny_knn' and tags.data_digest = '{version.tags['data_digest']}'"
    assert [int(each.version) for each in store.search_model_versions(wanted)] == [1]
    model = mlflow.pyfunc.load_model("models:/tiny_knn/1")
    outputs = model.metadata.signature.outputs.input_names()
    assert outputs[:3] == ["image_score", "p_value", "anomalous"]
    example = model.input_example
    assert (example.dtype, example.shape[0]) == ("uint8", 1)
    assert list(model.predict(example).columns) == outputs[:3]


def test_refused_data_are_told_with_their_number_and_a_failed_parent(ended, workplace, client):
    bad = shutil.copytree(workplace / "incoming", workplace / "bad")
    for name in ("003.png", "004.png"):
        (bad / "train" / "good" / name).write_bytes(b"")
    state = retrain(KNN, bad, return_state=True)
    run = client.read_flow_run(state.state_details.flow_run_id)
    assert (run.state.type, run.state.message) == (StateType.FAILED, "Data refused: 2 files")
    assert "003.png" in artifacts(client, run)["data-refused"].data
    with pytest.raises(DataValidationError):
        state.result()
    failed = [each for each in parents() if each.info.status == "FAILED"]
    assert [each.data.tags["unseen.kind"] for each in children(failed[0])] == ["validate"]


@pytest.mark.parametrize(("error", "status"), [(KeyError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_what_ends_otherwise_ends_its_parent_too(ended, workplace, error, status):
    made = []

    @flow(name="retrain")
    @outcome.told
    def interrupted():
        with mlflow_store.run("fit", "tiny_knn", tags={}, params={}) as active:
            made.append(active.data.tags["mlflow.parentRunId"])
        raise error

    with pytest.raises(error):
        interrupted()
    assert mlflow_store.client().get_run(made[0]).info.status == status


def test_a_run_of_a_worker_does_not_wait_for_its_turn_in_the_workers_place(monkeypatch):
    monkeypatch.setattr("tasks.platform.flow_run.is_deployed", lambda: True)
    held, done = threading.Event(), threading.Event()

    def hold():
        with turn("tiny_knn"):
            held.set()
            done.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(NotYetError, match="waiting for the turn"), turn("tiny_knn"):
            pass
    finally:
        done.set()
        other.join()


def test_logs_of_ours_are_in_the_runs_log(ended, client):
    only = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[ended[1].id]))
    assert any(
        "tiny_knn" in each.message or "fit" in each.message for each in client.read_logs(only)
    )
