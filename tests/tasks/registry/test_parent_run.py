import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.registry import mlflow_store, parent_run


@pytest.fixture
def server(orchestrated):
    with temporary_settings({PREFECT_API_URL: orchestrated[1]}):
        yield


def step(kind="fit"):
    with mlflow_store.run(kind, "bolts", tags={"data_digest": "0" * 32}, params={}) as active:
        return active.info.run_id


def parent_of(run_id):
    client = mlflow_store.client()
    found = client.get_run(run_id).data.tags.get("mlflow.parentRunId")
    return client.get_run(found) if found else None


def test_steps_of_one_flow_run_have_one_parent_which_ends_with_it(repository, server):
    @flow(name="retrain")
    def retrain():
        steps = step("pretrain"), step("fit")
        parent_run._made.clear()  # as in another process
        steps += (step("fit"),)
        parent_run.end(mlflow_store.client(), "FINISHED", {"decision": "refuse"}, {"auc": 0.5})
        parent_run.end(mlflow_store.client(), "FAILED")  # there is none any more
        return steps

    parents = [parent_of(each) for each in retrain()]
    assert len({each.info.run_id for each in parents}) == 1
    assert parents[0].info.status == "FINISHED"
    assert parents[0].info.run_name == "retrain bolts 00000000"
    assert parents[0].data.tags["decision"] == "refuse"
    assert parents[0].data.metrics == {"auc": 0.5}


def test_other_flows_and_steps_outside_of_one_have_no_parent(repository, server):
    @flow(name="monitor")
    def monitor():
        return step("monitor")

    assert parent_of(monitor()) is None
    assert parent_of(step()) is None
