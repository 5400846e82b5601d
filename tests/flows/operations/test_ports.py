import socket

import pytest

from flows.operations import ports
from flows.operations.desired_state import Wanted
from models.errors import InvalidInputError
from tasks.platform import background

SLEEP = "import time; time.sleep(60)"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    yield
    for name in background.living():
        background.stop(name)


@pytest.fixture
def taken():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_ports_of_served_models_follow_each_other():
    wanted = Wanted(models=("a", "b"), serve_port=9000, console_port=9100)
    assert ports.asked(wanted) == {"serve-a": 9000, "serve-b": 9001, "console": 9100}
    assert ports.asked(Wanted(models=("a",), serve_port=9000, serve=False)) == {}


@pytest.mark.parametrize("models", [(), ("a",), ("b", "a")])
def test_a_taken_port_is_refused_even_if_the_models_are_not_known_yet(taken, models):
    first = taken - max(len(models) - 1, 0)
    wanted = Wanted(models=models, serve_port=first)
    with pytest.raises(InvalidInputError, match=f"Port {taken} must be free"):
        ports.free(wanted, {"serve_port"})


def test_what_answers_elsewhere_is_stopped_only_if_all_ports_are_free(taken):
    background.start("console", ["-c", SLEEP], url="http://127.0.0.1:1")
    with pytest.raises(InvalidInputError):
        ports.free(Wanted(console_port=taken), {"console_port"})
    assert background.find("console"), background.log_file("console").read_text()
    ports.free(Wanted(console_port=taken), {"retrain_cron"})
    assert background.find("console")
    free = background.port(None, 0)
    ports.free(Wanted(console_port=free), {"console_port"})
    assert background.find("console") is None


def test_a_port_where_a_model_of_ours_is_served_is_no_obstacle(taken):
    background.start("serve-a", ["-c", SLEEP], url=f"http://127.0.0.1:{taken}")
    ports.free(Wanted(recipes=("a",), models=(), serve_port=taken), {"recipes", "serve_port"})
    ports.free(Wanted(recipes=("a",), models=("a",), serve_port=taken), {"serve_port"})
    assert background.find("serve-a")


def test_a_port_is_the_asked_one_or_any_that_is_free(taken):
    free = background.port(None, 0)
    assert ports.of("console", free) == free
    assert ports.of("serve-", None, 3) > 0
    with pytest.raises(InvalidInputError):
        ports.of("console", taken)
