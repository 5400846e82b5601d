import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from models.errors import InvalidInputError
from tasks.platform import background

SLEEP = "import time; time.sleep(60)"
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in background.living():
        background.stop(name)


def log(name, seconds=90):
    """What a process has printed, as soon as it has."""
    deadline = time.monotonic() + seconds
    while not (text := background.log_file(name).read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return text


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)], timeout=60)


def test_a_process_is_found_reused_and_stopped_by_its_name():
    first = background.start("sleeper", ["-c", SLEEP], url="http://here")
    assert background.start("sleeper", ["-c", SLEEP]) == first == background.find("sleeper")
    assert background.living() == {"sleeper"}
    assert background.stop("sleeper")
    assert not psutil.pid_exists(first.pid)
    assert (background.find("sleeper"), background.living(), background.names()) == (
        None,
        set(),
        [],
    )
    assert not background.stop("sleeper")


def test_what_a_killed_process_left_behind_is_found_and_ends_before_the_next_one_starts():
    killed = background.start("parent", ["-c", PARENT])
    orphan = psutil.Process(int(log("parent")))
    kill(killed.pid)
    assert background.find("parent") is None
    assert background.living() == {"parent"}
    again = background.start("parent", ["-c", SLEEP])
    assert again.pid != killed.pid
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_record_whose_number_another_process_has_now_is_no_record():
    kill(background.start("sleeper", ["-c", SLEEP]).pid)
    record = background.folder() / "sleeper.json"
    pid = str(background.find("sleeper") or os.getpid())
    record.write_text(f'{{"name": "sleeper", "pid": {pid}, "since": "", "url": ""}}')
    assert background.find("sleeper") is None
    assert not background.stop("sleeper")  # and we are still here
    assert not record.exists()


def child(name, besides=()):
    """What the supervisor of a name has started, as soon as it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [each for each in background._family(name) if each.pid not in besides]
        for each in found:
            if each.pid != background.find(name).pid and SLEEP in each.cmdline():
                return each.pid
        time.sleep(0.05)
    raise AssertionError(background._told(name))


def test_a_killed_process_is_started_again_and_that_is_counted():
    supervisor = background.start("sleeper", ["-c", SLEEP])
    first = child("sleeper")
    assert background.restarts("sleeper") == 0
    kill(first)
    second = child("sleeper", besides=[first])
    assert background.find("sleeper") == supervisor
    assert background.restarts("sleeper") == 1
    assert background.stop("sleeper")
    assert not psutil.pid_exists(second)


def test_what_a_killed_process_left_is_ended_before_it_is_started_again():
    background.start("parent", ["-c", PARENT])
    orphan = psutil.Process(int(log("parent")))
    kill(orphan.ppid())
    deadline = time.monotonic() + 60
    while len(log("parent").split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_dies_at_once_is_given_up_and_can_be_started_anew(monkeypatch):
    monkeypatch.setattr(background, "RETRIES", 1)
    background.start("mortal", ["-c", "raise SystemExit('no')"])
    deadline = time.monotonic() + 60
    while not background.has_given_up("mortal") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert background.restarts("mortal") == 1
    assert background.find("mortal") is None
    assert log("mortal").split() == ["no", "no"]
    background.start("mortal", ["-c", SLEEP])
    assert child("mortal")
    assert not background.has_given_up("mortal")


def test_a_process_that_does_not_listen_is_killed(monkeypatch):
    monkeypatch.setattr(background, "GRACE_SECONDS", 0.3)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True);"
    process = background.start("deaf", ["-c", deaf + SLEEP])
    log("deaf")
    assert background.stop("deaf")
    assert not psutil.pid_exists(process.pid)


def test_a_process_is_quiet_and_has_the_sources_of_the_one_that_started_it(monkeypatch, home):
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    told = "import os, tasks; print(os.environ['DO_NOT_TRACK'], os.getcwd(), tasks.__file__)"
    background.start("teller", ["-c", told])
    quiet, folder, sources = log("teller").split()
    assert (quiet, Path(folder)) == ("1", home)
    assert Path(sources) == Path(background.__file__).parents[1] / "__init__.py"


def test_a_port_is_the_wanted_one_or_the_usual_one_or_any():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert background.port(None, number) not in {0, number}
        with pytest.raises(InvalidInputError, match=f"Port {number} must be free"):
            background.port(number, 0)
    assert background.port(None, number) == number
    assert background.port(number, 1) == number


def test_the_python_that_runs_this_runs_it_too():
    background.start("sleeper", ["-c", SLEEP])
    assert psutil.Process(child("sleeper")).cmdline()[0] == sys.executable
