import json
import os
import socket
import subprocess

import pytest

from tasks.platform import addresses, workspace
from tests.conftest import make_repository

PROXY = "http://user:secret@proxy.example:3128"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Our own database, in the working directory."""
    monkeypatch.chdir(make_repository(tmp_path / "work place"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return workspace.home() / "mlflow.db"


def started(name, url):
    folder = workspace.home() / "processes"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"url": url}))


@pytest.mark.parametrize(
    "spelled",
    ["", ".unseen/mlflow.db", "sqlite:///.unseen/mlflow.db", "{own}", "sqlite:///{own}", "{uri}"],
)
def test_every_spelling_of_our_own_database_is_the_same(own, monkeypatch, spelled):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", spelled.format(own=own, uri=own.as_uri()))
    assert addresses.tracking_uri() == f"sqlite:///{own}"


@pytest.mark.parametrize("url", ["http://127.0.0.1:5001", "http://localhost:5001/"])
def test_the_address_of_our_own_server_means_its_database(own, monkeypatch, url):
    started("mlflow", "http://127.0.0.1:5001")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    assert addresses.tracking_uri() == f"sqlite:///{own}"


@pytest.mark.parametrize(
    "other",
    ["http://127.0.0.1:5002", "sqlite:///other.db", "postgresql://u:p@db/mlflow", "databricks"],
)
def test_another_store_is_left_as_it_is(own, monkeypatch, other):
    started("mlflow", "http://127.0.0.1:5001")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    assert addresses.tracking_uri() == other


def test_a_record_that_cannot_be_read_is_nobodys_address(own):
    started("mlflow", "")
    assert not addresses.is_own("http://127.0.0.1:5001", "mlflow")
    (workspace.home() / "processes" / "mlflow.json").write_text("[]")
    assert not addresses.is_own("http://127.0.0.1:5001", "mlflow")


def test_the_address_of_our_stopped_server_is_ours_until_somebody_else_answers_there(own):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{other.getsockname()[1]}/api"
        started("prefect", url)
        record = workspace.home() / "processes" / "prefect.json"
        record.replace(record.with_suffix(addresses.STOPPED))
        assert addresses.is_own(url, "prefect")
        other.listen()
        assert not addresses.is_own(url, "prefect")
    assert not addresses.is_own("http://127.0.0.1:9/api", "prefect")


def test_no_proxy_is_asked_for_this_machine_whoever_asks(own, monkeypatch):
    import httpx
    import requests

    monkeypatch.setenv("http_proxy", PROXY)
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    monkeypatch.setenv("no_proxy", "intranet.example")
    addresses.bypass_proxy()
    for url in ("http://127.0.0.1:4200/api", "http://localhost:5000", "http://intranet.example"):
        assert not requests.utils.get_environ_proxies(url)
        assert addresses.through(url) == ""
    assert "[::1]" in str(httpx.Client()._mounts) or "::1" in os.environ["NO_PROXY"]
    child = "import requests; print(requests.utils.get_environ_proxies('http://127.0.0.1:1'))"
    done = subprocess.run(
        [os.sys.executable, "-c", child], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{}"


def test_without_a_proxy_the_environment_is_left_alone(own):
    addresses.bypass_proxy()
    assert "NO_PROXY" not in os.environ


def test_an_error_names_the_proxy_and_keeps_its_password(own, monkeypatch):
    monkeypatch.setenv("http_proxy", PROXY)
    told = addresses.through("http://mlflow.example:5000")
    assert "http://proxy.example:3128 that HTTP_PROXY names" in told
    assert "add it to NO_PROXY" in told
    assert "secret" not in told
