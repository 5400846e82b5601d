"""``compose.yaml`` and ``Dockerfile`` say nothing that the tools do not know; they were not run."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from mlflow.cli import cli as mlflow_cli
from typer.main import get_command
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.platform import locks

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "compose.yaml").read_text()
CONTENT = yaml.safe_load(TEXT)
SERVICES = CONTENT["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

EDGE = {"context": ".", "target": "edge"}

each_service = pytest.mark.parametrize("name", SERVICES)


def script(name):
    """What a service runs, as one text."""
    command = SERVICES[name]["command"]
    return command if isinstance(command, str) else command[-1]


def run_by(program, name):
    """Arguments of a program in the script of a service, without ``exec``."""
    for line in script(name).splitlines():
        words = shlex.split(line.removeprefix("exec "))
        if words and words[0] == program:
            yield words[1:]


def test_the_whole_stack_is_there():
    assert set(SERVICES) == {"postgres", "s3", "prefect", "mlflow", "worker", "serve", "edge"}


@each_service
def test_every_service_is_limited_watched_and_made_of_something_that_has_a_name(name):
    service = SERVICES[name]
    assert service.get("build") in (".", EDGE) or re.search(r":\d", service["image"])
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


@each_service
def test_what_a_service_refers_to_is_declared(name):
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]
    assert set(service.get("secrets", ())) <= CONTENT["secrets"].keys()
    assert {each["source"] for each in service.get("configs", ())} <= CONTENT["configs"].keys()
    for volume in service["volumes"]:
        source = volume.removesuffix(":ro").rpartition(":")[0]
        places = ("${UNSEEN_REPOSITORY", "${UNSEEN_EXPORT")
        assert source in CONTENT["volumes"] or source.startswith(places)
    hosts = re.findall(r"https?://([a-z0-9]+):\d", yaml.safe_dump(service.get("environment", {})))
    assert set(hosts) <= SERVICES.keys()
    read = re.findall(r"/run/secrets/(\w+)", yaml.safe_dump(service))
    assert set(read) <= set(service.get("secrets", ()))


def test_no_secret_stands_in_it_and_git_ignores_the_files_that_hold_them():
    for secret in CONTENT["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|KEY|TOKEN", variable) or value.startswith("/run/")


@pytest.mark.parametrize("name", ["serve", "edge"])
def test_unseen_knows_the_command_that_serves(name):
    words = [script(name).split()] if name == "edge" else run_by("unseen", name)
    ((subcommand, *options),) = words
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert f" {subcommand} " in shown
    known = {name for each in get_command(app).commands[subcommand].params for name in each.opts}
    assert {each for each in options if each.startswith("--")} <= known


def test_mlflow_knows_the_options_of_its_server():
    ((subcommand, *options),) = run_by("mlflow", "mlflow")
    known = {name for each in mlflow_cli.commands[subcommand].params for name in each.opts}
    assert {each for each in options if each.startswith("--")} <= known
    assert "MLFLOW_BACKEND_STORE_URI" in script("mlflow")


def test_the_worker_serves_a_pool_of_prefect_yaml_and_decides_under_a_shared_lock():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    pools = {each["work_pool"]["name"]: each["name"] for each in deployments}
    create, deploy, start = run_by("prefect", "worker")
    assert create[:2] == ["work-pool", "create"]
    assert pools[create[2]] == deploy[deploy.index("--name") + 1]
    assert start[start.index("--pool") + 1] == create[2]
    assert locks.VARIABLE in script("worker")
    assert locks.VARIABLE in script("serve")


def test_the_images_are_made_of_the_locks_and_do_not_run_as_root():
    assert DOCKERFILE.count("--require-hashes --requirement /tmp/requirements.lock") == 2
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    stages = re.findall(r"^FROM python:(\d+\.\d+)-slim( AS edge)?$", DOCKERFILE, re.MULTILINE)
    assert [f">={version}" for version, _ in stages] == [wanted, wanted]
    assert [name for _, name in stages] == [" AS edge", ""]  # the last is built by default
    users = re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["unseen", "unseen"]
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists()
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert f"!{path}" in ignored or f"!{path.split('/')[0]}" in ignored


def test_both_locks_hold_what_pyproject_names_and_the_smaller_one_agrees_with_the_other():
    named = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
    whole = set(named.findall((ROOT / "requirements.lock").read_text()))
    edge = set(named.findall((ROOT / "tasks" / "serving" / "requirements.lock").read_text()))
    assert edge <= whole
    assert not {"torch", "mlflow", "pandas", "dvc"} & {name for name, _ in edge}
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    wanted = {re.match(r"[\w-]+", each)[0] for each in groups["serve"]}
    assert wanted <= {name for name, _ in edge}
