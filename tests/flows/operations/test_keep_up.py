import shutil
import subprocess

import pytest

from flows.operations import desired_state, keep_up
from flows.operations.desired_state import Wanted
from tasks.platform import background
from tasks.platform.identity import identity


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    folder = tmp_path / 'ada\'s "50" project'
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def test_a_unit_keeps_settings_and_no_secrets():
    unit = keep_up.unit(
        {
            "MLFLOW_TRACKING_URI": "http://m/100%",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "PREFECT_API_AUTH_STRING": "hush",
            "UNSEEN_LOCK_DATABASE": "postgresql://ada:hush@host",
            "HOME": "/home/ada",
        }
    )
    assert 'Environment="MLFLOW_TRACKING_URI=http://m/100%%"' in unit
    assert "hush" not in unit
    assert "HOME=" not in unit
    assert "Restart=on-failure" in unit


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_understands_the_unit(tmp_path):
    path = tmp_path / "unseen-test.service"
    path.write_text(keep_up.unit({"PATH": "/usr/bin", "MLFLOW_EXPERIMENT_NAME": 'a "b" c'}))
    found = subprocess.run(
        ["systemd-analyze", "--user", "verify", path], capture_output=True, text=True, check=False
    )
    assert path.name not in found.stderr, found.stderr


def test_it_is_installed_where_systemd_looks(tmp_path):
    told = keep_up.install()
    path = tmp_path / "config" / "systemd" / "user" / f"unseen-{identity()}.service"
    assert str(path) in told
    assert "up" in path.read_text()


def test_who_stays_mends_what_is_lost_and_leaves_when_everything_was_stopped(monkeypatch):
    keep_up.stay()  # nothing should run
    desired_state.remember(Wanted())
    background.folder().mkdir(parents=True)
    (background.folder() / "lost.json").write_text("{}")
    mended = []

    def up(given):
        mended.append(given)
        desired_state.forget()

    monkeypatch.setattr(keep_up.services, "up", up)
    keep_up.stay()
    assert mended == [{}]
