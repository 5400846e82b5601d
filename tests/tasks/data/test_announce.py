import time

import pytest

from tasks.data import announce
from tasks.data.versions import Changes
from tasks.platform import events, prefect_server
from tasks.records import DataVersion

VERSION = DataVersion(
    name="squares",
    digest="d.dir",
    dvc_md5="m.dir",
    git_commit="c" * 40,
    remote=None,
    num_files=30,
    num_bytes=300,
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def found(url, resource):
    """The events about a resource, as soon as the server has written one down."""
    wanted = {"filter": {"resource": {"id": [resource]}}}
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        known = prefect_server.call(url, "POST", "/events/filter", content=wanted, seconds=60)
        if known["events"]:
            return known["events"]
        time.sleep(0.2)
    raise AssertionError(resource)


def test_a_new_data_version_is_told_with_its_digest_and_what_changed(orchestrated, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", orchestrated[1])
    many = tuple(f"{number}.png" for number in range(announce.MOST_PATHS + 5))
    assert announce.announce(VERSION, Changes(added=many, removed=(), changed=("x.png",)))
    (told,) = found(orchestrated[1], events.dataset("squares"))
    assert told["event"] == events.DATA_VERSIONED
    payload = told["payload"]
    assert (payload["dataset"], payload["digest"]) == ("squares", "d.dir")
    assert (payload["num_added"], payload["num_removed"], payload["num_changed"]) == (25, 0, 1)
    assert (len(payload["added"]), payload["changed"]) == (announce.MOST_PATHS, ["x.png"])
