"""Deployments on a real server, without a worker: nothing is run."""

from contextlib import chdir
from functools import partial

import pytest
from prefect import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

from flows.operations import deployments
from flows.operations.desired_state import Wanted
from models.errors import InvalidInputError, NotFoundError
from tasks.platform import events
from tasks.platform.identity import identity, pool
from tests.conftest import make_repository
from tests.flows.conftest import RECIPE

KNN = RECIPE.replace(":tiny", ":tiny_knn")


@pytest.fixture(scope="module")
def client(workplace):
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def apply(orchestrated):
    return partial(deployments.apply, api=orchestrated[1])


def ours(client, flow="retrain"):
    tags = DeploymentFilter(tags=DeploymentFilterTags(all_=[pool()]))
    found = client.read_deployments(deployment_filter=tags)
    return {each.name: each for each in found if client.read_flow(each.flow_id).name == flow}


def automations(client, deployment):
    return client.read_resource_related_automations(f"prefect.deployment.{deployment.id}")


def test_every_recipe_has_a_clock_and_two_triggers_and_nothing_is_made_twice(client, apply):
    wanted = Wanted(recipes=(RECIPE, KNN), retrain_cron="5 4 * * *")
    apply(wanted)
    first = ours(client)
    apply(wanted)
    again = ours(client)
    assert {name: each.id for name, each in again.items()} == {
        name: each.id for name, each in first.items()
    }
    assert again.keys() == {"tiny", "tiny_knn"}
    assert again["tiny"].parameters == {"recipe": RECIPE, "if_busy": "wait"}
    assert [each.schedule.cron for each in again["tiny"].schedules] == ["5 4 * * *"]
    triggers = [each.trigger for each in automations(client, again["tiny"])]
    told = {(*each.expect, *each.match["prefect.resource.id"]) for each in triggers}
    assert len(triggers) == 2
    assert told == {
        (events.DATA_VERSIONED, "unseen.dataset.tiny"),
        (events.DRIFT_DETECTED, "unseen.model.tiny"),
    }


def test_what_is_wanted_no_more_goes_with_its_triggers(client, apply):
    apply(Wanted(recipes=(RECIPE, KNN)))
    dropped = ours(client)["tiny_knn"]
    apply(Wanted(recipes=(RECIPE,), retrain_cron=""), given={"retrain_cron"})
    assert ours(client).keys() == {"tiny"}
    assert ours(client)["tiny"].schedules == []
    assert automations(client, dropped) == []


def test_what_a_person_made_in_prefect_stays(client, apply):
    apply(Wanted(recipes=(RECIPE,)))
    made = ours(client)["tiny"]
    copy = client.create_deployment(
        flow_id=made.flow_id,
        name="tiny with seed 7",
        parameters={**made.parameters, "seed": 7},
        tags=made.tags,
        work_pool_name=pool(),
    )
    left_alone = apply(Wanted(recipes=(RECIPE,)))
    assert "tiny with seed 7: a deployment that was made in Prefect" in left_alone
    assert client.read_deployment(copy).parameters["seed"] == 7
    client.delete_deployment(copy)


def test_workplaces_called_alike_keep_their_deployments_on_one_server(client, apply, tmp_path):
    apply(Wanted(recipes=(RECIPE,), retrain_cron="1 1 * * *"))
    before, here = ours(client)["tiny"], pool()
    with chdir(make_repository(tmp_path / "workplace")):
        for cron in ("2 2 * * *", "3 3 * * *"):
            apply(Wanted(recipes=(RECIPE,), retrain_cron=cron), given={"retrain_cron"})
        assert pool() != here
        (theirs,) = ours(client).values()
        assert (theirs.name, theirs.work_pool_name) == (f"tiny-{identity()}", pool())
        assert theirs.schedules[0].schedule.cron == "3 3 * * *"
        apply(Wanted(recipes=(KNN,)))
        assert ours(client).keys() == {"tiny_knn"}
    assert ours(client) == {"tiny": before}


def test_an_unknown_recipe_or_schedule_is_refused_before_anything_is_changed(client, apply):
    before = ours(client)
    for wanted, error in (
        (Wanted(recipes=("srews",)), NotFoundError),
        (Wanted(recipes=(RECIPE, RECIPE)), InvalidInputError),
        (Wanted(recipes=(RECIPE,), retrain_cron="at tea time"), InvalidInputError),
        (Wanted(recipes=(RECIPE,), if_busy="hurry"), InvalidInputError),
    ):
        with pytest.raises(error):
            apply(wanted)
    assert {name: each.updated for name, each in ours(client).items()} == {
        name: each.updated for name, each in before.items()
    }


def test_recipes_of_one_model_make_one_model(workplace):
    assert deployments.models(Wanted(recipes=("walkway", "walkway_jigsaw", "digits"))) == (
        "walkway",
        "digits",
    )
