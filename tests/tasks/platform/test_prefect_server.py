import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from models.errors import UnseenError
from tasks.platform import prefect_server


@pytest.fixture
def unconfigured(monkeypatch, tmp_path):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    return tmp_path / "prefect"


def test_a_started_server_answers_and_is_reused(orchestrated, monkeypatch):
    folder, url = orchestrated
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setenv("PREFECT_HOME", str(folder / "none"))
    assert httpx.get(f"{url}/health").is_success
    assert prefect_server.connect() == url


def test_a_configured_server_wins(orchestrated, monkeypatch):
    monkeypatch.chdir(orchestrated[0])
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert prefect_server.connect() == "http://elsewhere/api"


def test_the_users_own_profile_counts_as_configured(unconfigured):
    unconfigured.mkdir()
    (unconfigured / "profiles.toml").write_text(
        'active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://prefect.example/api"\n'
    )
    assert prefect_server.configured_url() == "http://prefect.example/api"


def test_without_profile_nothing_is_configured(unconfigured):
    assert prefect_server.configured_url() is None


def test_a_server_that_does_not_answer_is_a_clear_error(orchestrated, monkeypatch):
    monkeypatch.chdir(orchestrated[0])
    with pytest.raises(UnseenError, match="A Prefect server must answer"):
        prefect_server.wait_until_healthy("http://127.0.0.1:9/api")


def test_stopping_nothing_says_so(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not prefect_server.stop()


@pytest.fixture
def busy(request):
    """A server that answers 503 as often as it is told and then 200; its URL and its answers."""
    answers = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            answers.append(503 if len(answers) < request.param else 200)
            self.send_response(answers[-1])
            self.end_headers()
            self.wfile.write(b'{"name": "calm-owl"}')

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


@pytest.mark.parametrize("busy", [2], indirect=True)
def test_a_busy_server_is_asked_again(busy):
    url, answers = busy
    assert prefect_server.call(url, "GET", "/", seconds=30) == {"name": "calm-owl"}
    assert answers == [503, 503, 200]


@pytest.mark.parametrize("busy", [1000], indirect=True)
def test_a_server_that_stays_busy_is_given_up(busy):
    with pytest.raises(httpx.HTTPStatusError, match="503"):
        prefect_server.call(busy[0], "GET", "/", seconds=0.5)


def test_the_exported_address_of_our_own_server_changes_nothing(orchestrated, monkeypatch):
    folder, url = orchestrated
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PREFECT_API_URL", url.replace("127.0.0.1", "localhost"))
    monkeypatch.setenv("PREFECT_HOME", "")
    monkeypatch.delenv("PREFECT_HOME")
    assert prefect_server.configured_url() is None
    assert prefect_server.connect() == url
    assert os.environ["PREFECT_HOME"] == str(folder / ".unseen" / "prefect")
