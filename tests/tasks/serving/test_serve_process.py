"""The server as a process of its own, and what keeps it from starting."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from models.errors import InvalidInputError, NotFoundError
from tasks.serving.serve import serve
from tests.tasks.deployed import make_champion
from tests.tasks.serving.test_serve import clip, wait_for


def test_a_model_that_does_not_exist_is_not_served(settled):
    with pytest.raises(NotFoundError, match=r"no registered model 'circles'\. Registered: squares"):
        serve("circles")


def test_a_model_without_a_champion_is_not_served(deploy_detector):
    deploy_detector(promoted=False)
    with pytest.raises(NotFoundError, match=r"'champion'\. Versions: 1\. Aliases: challenger -> 1"):
        serve("squares")


def test_an_address_that_is_taken_is_refused(settled):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=f"listen on 127.0.0.1 port {port}"):
            serve("squares", port=port)
    with pytest.raises(InvalidInputError, match="port 70000"):
        serve("squares", port=70000)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(*command, log, python=sys.executable):
    """A server in a session of its own, of which nothing is left afterwards."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, *command],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    family = []
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def answers(process, url, log):
    """Whether a server answers; its log fails the test if it died."""
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200 or None
    return None


HEAD = b'--a\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'


def huge():
    """The body of a request that is much longer than allowed."""
    yield HEAD
    for _ in range(300):
        yield bytes(2**20)


def test_a_running_server_follows_the_champion_and_survives_a_huge_upload(served, tmp_path):
    port, log = free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    code = f"from tasks.serving.serve import serve; serve('squares', port={port}, poll_seconds=0.1)"
    with started("-c", code, log=log) as process:
        wait_for(lambda: answers(process, f"{url}/health", log), 120)
        before = httpx.post(f"{url}/predict", files=clip()).json()
        memory = psutil.Process(process.pid).memory_info().rss

        for length in ({}, {"content-length": str(len(HEAD) + 300 * 2**20)}):
            headers = {"content-type": "multipart/form-data; boundary=a", **length}
            refused = httpx.post(f"{url}/predict", content=huge(), headers=headers, timeout=180)
            assert refused.status_code == 413, refused.text
            assert "67108864 bytes" in refused.json()["error"]
        assert psutil.Process(process.pid).memory_info().rss - memory < 100 * 2**20

        make_champion(served.deploy(seed=1, promoted=False))
        wait_for(lambda: httpx.get(f"{url}/health").json()["version"] == 2 or None)
        after = httpx.post(f"{url}/predict", files=clip()).json()
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM), log.read_text()
    assert "squares version 2 serves from now on" in log.read_text()
    assert (before["version"], after["version"]) == (1, 2)
    assert before["frames"][0]["threshold"] != after["frames"][0]["threshold"]
    scores = [[frame["image_score"] for frame in each["frames"]] for each in (before, after)]
    assert scores[0] == scores[1]
