import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models.errors import InvalidInputError
from tasks.training import retrain_turn
from tasks.training.retrain_turn import OccupiedError, turn

HOLD = """
import time
from tasks.training.retrain_turn import turn
with turn("a"):
    print(1, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_second_one_is_refused_and_told_who_has_the_turn():
    message = f"process {os.getpid()}"
    with turn("a"), pytest.raises(OccupiedError, match=message) as refused, turn("a", "refuse"):
        raise AssertionError
    assert refused.value.exit_code == 4
    with turn("a", "refuse"):
        assert retrain_turn.holder("a") != "somebody"
    assert retrain_turn.holder("a") == "somebody"


def test_another_model_has_turns_of_its_own():
    with turn("a"), turn("b", "refuse"):
        assert retrain_turn.holder("b") != "somebody"


def test_who_waits_comes_after_who_was_there(monkeypatch):
    monkeypatch.setattr(retrain_turn, "POLL_SECONDS", 0.01)
    order, waiting = [], threading.Event()
    monkeypatch.setattr(retrain_turn.log, "warning", lambda *_: waiting.set())

    def second():
        with turn("a"):
            order.append("second")

    with turn("a"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_failed_one_gives_its_turn_back():
    with pytest.raises(ZeroDivisionError), turn("a"):
        raise ZeroDivisionError
    with turn("a", "refuse"):
        pass


def test_a_killed_one_gives_its_turn_back(home):
    environment = {**os.environ, "PYTHONPATH": str(Path(retrain_turn.__file__).parents[2])}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline()
        with pytest.raises(OccupiedError, match=f"process {holder.pid}"), turn("a", "refuse"):
            raise AssertionError
        holder.send_signal(signal.SIGKILL)
    left = Path(json.loads((home / ".unseen" / "a.retrain.json").read_text())["scratch"])
    assert left.is_dir()
    with turn("a", "refuse"):
        assert f"process {os.getpid()}" in retrain_turn.holder("a")
        assert not left.exists()


def test_an_unknown_wish_is_refused():
    with pytest.raises(InvalidInputError, match="wait, refuse"), turn("a", "hurry"):
        raise AssertionError
