import time

import httpx
import pytest

from tasks.housekeeping import stale_flows
from tasks.housekeeping.references import References
from tasks.platform import prefect_server
from tests.tasks.flow_runs import flow_run


@pytest.fixture
def server(orchestrated, monkeypatch):
    """The session's local server, as the repository that started it sees it."""
    folder, url = orchestrated
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(folder / "none"))
    return url


def test_old_flow_runs_go_and_those_that_a_version_names_stay(server):
    named, other = (flow_run(server, "COMPLETED")["id"] for _ in range(2))
    needed = References()
    needed.add(named, "walkway 1")
    young = stale_flows.find(needed, cutoff=time.time() - 3600)
    assert not {named, other} & {each.name for each in young.stale}
    found = stale_flows.find(needed, cutoff=time.time() + 3600)
    stale = {each.name: each for each in found.stale}
    assert other in stale
    assert named not in stale
    assert found.kept["walkway 1"] == 1
    for _ in range(2):
        stale[other].remove()
    assert httpx.get(f"{server}/flow_runs/{other}").status_code == 404
    assert httpx.get(f"{server}/flow_runs/{named}").is_success


def test_the_newest_flow_run_under_way_is_named(server):
    runs = [flow_run(server, "RUNNING") for _ in range(2)]
    try:
        assert stale_flows.active() == runs[1]["name"]
    finally:
        for run in runs:
            httpx.delete(f"{server}/flow_runs/{run['id']}")


def test_a_configured_server_is_left_alone(server, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # not that of our own server
    found = stale_flows.find(References(), cutoff=time.time() + 3600)
    assert found.stale == []
    assert "left alone" in found.notes[0]


def test_without_a_server_nothing_is_read_and_nothing_is_under_way(repository, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(repository / "none"))
    assert prefect_server.local_server() is None
    assert "does not run" in stale_flows.find(References(), cutoff=0).notes[0]
    assert stale_flows.active() is None
