import pytest

from tasks.platform import events


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def test_without_a_server_nothing_is_told_and_nothing_is_made(tmp_path):
    assert not events.emit("unseen.test", "unseen.model.nobody", {})
    assert not (tmp_path / "prefect").exists()


def test_a_server_that_does_not_answer_is_no_failure(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert not events.emit("unseen.test", "unseen.model.nobody", {})
