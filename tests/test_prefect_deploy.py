"""``prefect deploy --all`` with ``prefect.yaml``, on a real server; a run in the process pool."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from prefect import get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.templating import apply_values
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from tests.conftest import make_repository
from tests.flows.tiny import write
from tests.processes import output_of

ROOT = Path(__file__).parents[1]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
KINDS = {each["work_pool"]["name"]: each["name"].rpartition("-")[2] for each in DEPLOYMENTS}
RECIPE = f"{ROOT / 'tests' / 'flows' / 'tiny.py'}:tiny_knn"


@pytest.fixture(scope="module")
def project(tmp_path_factory, orchestrated, empty_store):
    """A checkout of the code and the environment in which its deployments are made."""
    folder = make_repository(tmp_path_factory.mktemp("deployed") / "checkout")
    for part in ("flows", "tasks", "models"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "prefect.yaml", folder)
    write(folder / "incoming", num_train=12, num_test=4)
    (folder / ".unseen").mkdir()
    shutil.copyfile(empty_store, folder / ".unseen" / "mlflow.db")
    environment = {
        **os.environ,
        "PWD": str(folder),  # as a shell has it; prefect.yaml names it
        "PREFECT_API_URL": orchestrated[1],
        "PREFECT_HOME": str(folder / ".unseen" / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/.unseen/mlflow.db",
        "UNSEEN_IMAGE": "registry.example/unseen:1",
        "UNSEEN_REPOSITORY": "https://git.example/ada/project.git",
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }

    def run(*arguments):
        return output_of([sys.executable, "-m", "prefect", *arguments], cwd=folder, env=environment)

    with temporary_settings({PREFECT_API_URL: orchestrated[1]}):
        with get_client(sync_client=True) as opened:
            for pool, kind in KINDS.items():
                template = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
                wanted = WorkPoolCreate(name=pool, type=kind, base_job_template=template)
                opened.create_work_pool(wanted, overwrite=True)
        run("--no-prompt", "deploy", "--all")
        yield run


@pytest.fixture
def client(project, orchestrated):
    with get_client(sync_client=True) as opened:
        yield opened


def test_every_deployment_is_made_with_its_schedule_and_automations(project, client):
    for wanted in DEPLOYMENTS:
        made = client.read_deployment_by_name(f"retrain/{wanted['name']}")
        assert made.work_pool_name == wanted["work_pool"]["name"]
        assert made.parameters == {"recipe": "walkway"}
        assert [each.schedule.cron for each in made.schedules] == ["0 3 * * *"]
        assert made.global_concurrency_limit.limit == 1
        known = client.read_resource_related_automations(f"prefect.deployment.{made.id}")
        assert len(known) == 2


@pytest.mark.parametrize("pool", KINDS)
def test_the_templates_of_its_pools_take_its_job_variables(project, client, pool):
    (wanted,) = [each for each in DEPLOYMENTS if each["work_pool"]["name"] == pool]
    made = client.read_deployment_by_name(f"retrain/{wanted['name']}")
    template = client.read_work_pool(pool).base_job_template
    assert made.job_variables.keys() <= template["variables"]["properties"].keys()
    DeploymentUpdate(job_variables=made.job_variables).check_valid_configuration(template)
    assert "{{" not in json.dumps(made.job_variables)


def test_kubernetes_takes_the_job_that_its_worker_makes(project, client):
    schemas = pytest.importorskip("kubernetes_validate", reason="a package of the extra dev")
    made = client.read_deployment_by_name("retrain/walkway-kubernetes")
    template = client.read_work_pool("unseen-kubernetes").base_job_template
    known = template["variables"]["properties"]
    defaults = {key: each["default"] for key, each in known.items() if "default" in each}
    values = {**defaults, **made.job_variables}
    manifest = apply_values(template["job_configuration"]["job_manifest"], values)
    environment = manifest["spec"]["template"]["spec"]["containers"][0]["env"]
    listed = [{"name": key, "value": value} for key, value in environment.items()]
    manifest["spec"]["template"]["spec"]["containers"][0]["env"] = listed  # as the worker does
    assert schemas.validate(manifest, "1.36") == "1.36"
    manifest["spec"]["backoffLimit"] = "never"
    with pytest.raises(schemas.ValidationError, match="'never' is not of type 'integer'"):
        schemas.validate(manifest, "1.36")


def test_a_worker_of_the_process_pool_retrains(project, client):
    made = client.read_deployment_by_name("retrain/walkway-process")
    parameters = {"recipe": RECIPE, "data": "incoming"}
    asked = client.create_flow_run_from_deployment(made.id, parameters=parameters)
    project("worker", "start", "--pool", "unseen-process", "--run-once")
    run = client.read_flow_run(asked.id)
    assert run.state.message.startswith("Promoted 1: "), run.state
    assert run.name.startswith("tiny_knn ")
