import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from tasks.platform import git, workspace
from tasks.registry.who import who


def test_a_person_is_the_user_of_git(repository):
    git.ask("config", "user.name", "Ada", folder=workspace.root())
    git.ask("config", "user.email", "ada@example.org", folder=workspace.root())
    assert who() == "Ada <ada@example.org>"


@pytest.mark.parametrize(
    ("created_by", "told"),
    [
        ({"type": "SCHEDULE", "display_value": "CronSchedule"}, "a schedule, flow run brave-otter"),
        ({"type": "AUTOMATION", "display_value": "on-data"}, "an event (automation on-data), flow"),
        (None, "somebody in Prefect, flow run brave-otter"),
    ],
)
def test_what_nobody_started_at_a_terminal_is_no_person(repository, created_by, told):
    ids = "11111111-1111-1111-1111-111111111111"
    run = FlowRun(flow_id=ids, deployment_id=ids, name="brave-otter", created_by=created_by)
    with FlowRunContext.model_construct(flow_run=run):
        assert who().startswith(told)
        assert f"({run.id}), account " in who()


def test_a_flow_that_a_person_runs_is_that_persons(repository):
    git.ask("config", "user.name", "Ada", folder=workspace.root())
    run = FlowRun(flow_id="11111111-1111-1111-1111-111111111111", name="brave-otter")
    with FlowRunContext.model_construct(flow_run=run):
        assert who().startswith("Ada")
